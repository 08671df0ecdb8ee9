/*
 * The pump between a process's standard streams (three pipes, or the master of a terminal) and whatever takes and
 * gives the bytes: one link (exec, and the guest's main workload: io_link.h), or log and fan-out (host: fanout.h).
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "loop.h"

struct io_handlers {
  /* Output bytes that may be handed over now; 0: stop reading (the pipe fills) until io_wake(). */
  size_t (*room)(void *context);
  /* A piece of at most 64 KiB; type is FRAME_STDOUT or FRAME_STDERR. */
  void (*output)(void *context, uint8_t type, const void *data, size_t length);
  /* Input is queueing up (true), or has been taken (false): pause and resume the sender. May be NULL. */
  void (*input_full)(void *context, bool full);
  /* The process has exited and all its output was handed over: called once, the last callback. */
  void (*drained)(void *context);
};

struct process_io {
  struct loop *loop;
  const struct io_handlers *handlers;
  void *context;
  int in, out, err; /* owned; -1: none. With a terminal only `out`, the master. */
  bool terminal;
  struct watch in_watch, out_watch, err_watch;
  struct buffer input;
  bool input_ended, input_was_full, exited, grace_over, done;
  size_t after_grace; /* bytes handed over after the grace time */
  struct timer grace, finish;
};

/* Takes over the descriptors and makes them non-blocking. Zero the struct before. */
void io_start(struct process_io *io, struct loop *loop, const struct io_handlers *handlers, void *context, int in,
              int out, int err);
void io_start_terminal(struct process_io *io, struct loop *loop, const struct io_handlers *handlers, void *context,
                       int master);
/* Queues input; what comes after the end, or when the process has closed its input, is thrown away. */
void io_input(struct process_io *io, const void *data, size_t length);
/* Half-close: end of file for the process after what is queued (with a terminal: its EOF character). */
void io_input_end(struct process_io *io);
/* There is room for output again. */
void io_wake(struct process_io *io);
/* The window size; no error when there is no terminal. */
void io_resize(struct process_io *io, uint16_t rows, uint16_t columns);
/*
 * The process is dead. Reads what it left, waits a short grace when something else still holds its pipes, then calls
 * `drained`. Bytes that wait for room are never dropped.
 */
void io_exited(struct process_io *io);
/* Closes and frees everything; no callback any more. Safe on a zeroed struct. */
void io_close(struct process_io *io);
