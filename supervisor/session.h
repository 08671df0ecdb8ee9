/*
 * What the host's container shim and the guest's PID 1 have in common: conversations (links), the requests that open
 * them, and the verbs (struct wall) that answer.
 *
 *   first frame -> dispatch() parses it -> one verb of the wall -> reply_ok() / reply_error()
 *               -> link_finish(), or the verb keeps the link as a session (attach, exec, archives, events)
 *
 * A verb may answer later (from a callback of the loop). It must answer exactly once, unless on_closed came first.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "frame.h"
#include "json.h"

/*
 * One conversation with a client. server.c makes them from unix socket connections, mux.c from streams of the guest
 * channel. Whoever implements a link owns its memory: it is gone after link_finish(), or after on_closed returned.
 */
struct link {
  const struct link_ops *ops;
  /* Set by the verb that keeps the link; all may be NULL. */
  void (*on_frame)(struct link *link, const struct frame *frame); /* stdin, stdinEnd, resize, signal */
  void (*on_writable)(struct link *link);                         /* room() was 0 and is not any more */
  void (*on_closed)(struct link *link);                           /* the client is gone; do not touch it afterwards */
  void *owner;
};

struct link_ops {
  /* Queues one frame, never blocks and never fails (a dead link takes it and reports on_closed later). */
  void (*send)(struct link *link, uint8_t type, const void *payload, size_t length);
  /* Bytes of output that should be sent now; 0: wait for on_writable. Control frames may always be sent. */
  size_t (*room)(struct link *link);
  /* Bytes that are queued and have not left yet (for the lag limit of attach). */
  size_t (*queued)(struct link *link);
  /* Stops and restarts on_frame for input. What was read already may still come: at most FRAME_LIMIT + 64 KiB. */
  void (*pause)(struct link *link, bool paused);
  /* Ends the conversation when all that is queued has left; no callback comes any more. Call once. */
  void (*finish)(struct link *link);
};

static inline void link_send(struct link *link, uint8_t type, const void *payload, size_t length) {
  link->ops->send(link, type, payload, length);
}
static inline size_t link_room(struct link *link) { return link->ops->room(link); }
static inline size_t link_queued(struct link *link) { return link->ops->queued(link); }
static inline void link_pause(struct link *link, bool paused) { link->ops->pause(link, paused); }
static inline void link_finish(struct link *link) { link->ops->finish(link); }

/* JSON out; each takes over the reference of its json_t. reply_ok(link, NULL) replies {}. */
void link_send_json(struct link *link, uint8_t type, json_t *value);
void reply_ok(struct link *link, json_t *value);
void reply_error(struct link *link, const struct error *error);
/* Reply and end of the conversation in one. */
void finish_ok(struct link *link, json_t *value);
void finish_error(struct link *link, const struct error *error);
/* The last frame of a session, and its end. */
void finish_exit(struct link *link, int32_t status, bool out_of_memory);

/* A parsed request; everything in it is borrowed from `body` (json_incref it to keep it beyond the verb). */
struct request {
  const char *op;
  json_t *body;
  const char *workload; /* required by all ops on a workload; for `start` it is the id in the spec */
  const char *exec;     /* NULL when absent */
  const char *path;
  int signal;
  uint16_t rows, columns;
  int64_t timeout; /* ms */
  bool stdin_wanted, stdout_wanted, stderr_wanted;
  json_t *spec; /* start: WorkloadSpec; exec: ExecSpec */
};

/* The verbs behind the ops of docs/PROTOCOL.md. A NULL verb answers "unsupported". */
struct wall {
  void (*hello)(struct wall *, struct link *, const struct request *);
  void (*events)(struct wall *, struct link *, const struct request *);
  void (*start)(struct wall *, struct link *, const struct request *);
  void (*attach)(struct wall *, struct link *, const struct request *);
  void (*exec)(struct wall *, struct link *, const struct request *);
  void (*signal)(struct wall *, struct link *, const struct request *);
  void (*resize)(struct wall *, struct link *, const struct request *);
  void (*pause)(struct wall *, struct link *, const struct request *);
  void (*resume)(struct wall *, struct link *, const struct request *);
  void (*stats)(struct wall *, struct link *, const struct request *);
  void (*stat)(struct wall *, struct link *, const struct request *);
  void (*archive_read)(struct wall *, struct link *, const struct request *);
  void (*archive_write)(struct wall *, struct link *, const struct request *);
  void (*shutdown)(struct wall *, struct link *, const struct request *);
  /* Only the guest's PID 1 has these. */
  void (*configure)(struct wall *, struct link *, const struct request *);
  void (*mount_rootfs)(struct wall *, struct link *, const struct request *);
  void (*poweroff)(struct wall *, struct link *, const struct request *);
};

/* Takes a link's first frame: calls one verb, or answers with an error and finishes the link. */
void dispatch(struct wall *wall, struct link *link, const struct frame *first);
