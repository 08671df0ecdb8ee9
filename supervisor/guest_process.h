/*
 * A process of a workload: made in its cgroup and namespaces, confined as its spec says, its streams on one link.
 *
 *   process_launch -> (child: enter, then confine and exec) -> reply {"pid"} or an error -> session -> exit frame
 */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

#include "io_link.h"
#include "json.h"
#include "loop.h"
#include "session.h"

struct process {
  struct io_link io;
  struct child child;
  pid_t pid; /* 0: none */
  struct loop *loop;
  struct link *link; /* until the reply; then the session's */
  /* Where it is in life. `ended` comes once after a successful launch, `failed` instead of it otherwise. */
  void (*started)(struct process *process);
  void (*failed)(struct process *process);
  void (*ended)(struct process *process, int status);
  void (*closed)(struct process *process); /* the streams are closed too: the last callback after `ended` */
  void *owner;
  /* Being launched: */
  int control; /* the child's word on how it goes */
  struct watch watch;
  bool ready, terminal;
  int in, out, err, master;
  struct error error;
};

/* What the child is to be; all borrowed for the time of the call. */
struct process_plan {
  const json_t *process; /* RuntimeProcess */
  const char *user;
  bool stdin_open;
  const void *filter; /* struct sock_filter[]; NULL: none */
  size_t filter_length;
  int cgroup;
  unsigned long namespaces; /* CLONE_NEW* */
  /* Runs in the child first; leaves it with its root and namespaces as they have to be. */
  int (*enter)(void *context, struct error *error);
  void *context;
  bool console; /* its terminal is /dev/console too */
};

/*
 * Forks. Negative: nothing happened, the caller answers. Otherwise the link is answered by the process when the child
 * has executed its program or has failed, and `started` or `failed` is called.
 */
int process_launch(struct process *process, struct loop *loop, struct link *link, const struct process_plan *plan,
                   struct error *error);
/* True from a successful launch until `failed` or `closed`. */
bool process_is_busy(const struct process *process);

/* guest_confine.c, in the child: streams, user, capabilities, filter, exec. Returns only on failure. */
int process_become(const struct process_plan *plan, int control, const int streams[3], struct error *error);
/* guest_confine.c: sends the terminal's master or the word "about to exec" to the parent. */
enum { CONTROL_TERMINAL = 't', CONTROL_READY = 'r', CONTROL_FAILED = 'f' };
