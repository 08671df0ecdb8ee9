/* The last 64 KiB that came out of a descriptor: the guest's serial port, QEMU's complaints. */
#pragma once
#include "loop.h"

enum { VM_CONSOLE_SIZE = 64 << 10 };

struct vm_console {
  struct loop *loop;
  struct watch watch;
  int fd;
  char *ring;
  size_t next, length;
};

/* Reads `fd` (owned from now on) until its end; keeps what an earlier one said. */
void vm_console_start(struct vm_console *console, struct loop *loop, int fd);
/* Reads what is there and closes the descriptor; the text stays. */
void vm_console_stop(struct vm_console *console);
void vm_console_free(struct vm_console *console);
/* The last `lines` non-empty lines joined by " / ", without control characters; to be freed. */
char *vm_console_tail(const struct vm_console *console, int lines);
/* All of it to standard error, each line after `prefix`. */
void vm_console_dump(const struct vm_console *console, const char *prefix);
