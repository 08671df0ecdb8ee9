/* A process's streams served to one link with back-pressure: an exec, or the guest's main workload. */
#pragma once
#include "process_io.h"
#include "session.h"

struct io_link {
  struct process_io io;
  struct link *link; /* NULL once the client is gone: input ended, output thrown away */
  /* A signal frame of the client; may be NULL. */
  void (*on_signal)(void *context, int signal);
  /* All output is out and the exit frame is queued: the last callback. io_link_close() may be called in it. */
  void (*on_done)(void *context);
  void *context;
  int32_t status;
  bool out_of_memory;
};

/*
 * Zero the struct, set the callbacks, then call this: it takes over the link's callbacks and the descriptors
 * (-1: none; with a terminal only `out`, the master). The reply must have been sent before.
 * `link` may be NULL: the client has gone already.
 */
void io_link_start(struct io_link *session, struct loop *loop, struct link *link, bool terminal, int in, int out,
                   int err);
/* The process has ended. Exit status 0–255. */
void io_link_exited(struct io_link *session, int32_t status, bool out_of_memory);
/* Frees what it holds; a link that is still there is finished without an exit frame. */
void io_link_close(struct io_link *session);
