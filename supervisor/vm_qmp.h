/* QEMU's control channel, as far as it is needed: negotiation, why it shut down, quit. */
#pragma once
#include "buffer.h"
#include "loop.h"

struct vm_qmp {
  struct loop *loop;
  struct watch watch;
  int fd;
  struct buffer line;
  /* Why QEMU said it shuts down ("guest-shutdown", "guest-panic", ...), "" when it did not. */
  char shutdown_reason[48];
};

/* Takes over the descriptor. */
void vm_qmp_start(struct vm_qmp *qmp, struct loop *loop, int fd);
void vm_qmp_quit(struct vm_qmp *qmp);
void vm_qmp_stop(struct vm_qmp *qmp);
