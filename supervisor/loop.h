/*
 * The event loop: descriptors, timers and child exits on one epoll. One thread, no locks.
 * The structs belong to the caller, who embeds them, and may be freed right after the matching cancel call,
 * also from within any callback.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

struct loop;

struct watch {
  void (*callback)(void *context, uint32_t events);
  void *context;
  int fd; /* -1: not watched */
  uint32_t events;
};

struct timer {
  void (*callback)(void *context);
  void *context;
  int64_t due; /* monotonic ms; 0: not set */
  struct timer *next;
};

struct child {
  /* status as of waitpid(2). Called once; the child is unregistered by then. */
  void (*callback)(void *context, int status);
  void *context;
  pid_t pid; /* 0: not registered */
  struct child *next;
};

/* Blocks SIGCHLD for the process (and takes it by signalfd). Children must unblock it: see loop_child_unblock. */
struct loop *loop_new(void);
void loop_free(struct loop *loop);
/* Dispatches until loop_stop(). */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* Watches `fd` for EPOLLIN/EPOLLOUT (errors and hang-ups always come). The descriptor stays the caller's. */
void loop_watch(struct loop *loop, struct watch *watch, int fd, uint32_t events,
                void (*callback)(void *context, uint32_t events), void *context);
void loop_rewatch(struct loop *loop, struct watch *watch, uint32_t events);
/* Before the descriptor is closed. Harmless when not watched. */
void loop_unwatch(struct loop *loop, struct watch *watch);

/* Calls back once, `delay` ms from now; a timer that is set already is moved. 0: as soon as the loop turns. */
void loop_timer(struct loop *loop, struct timer *timer, int64_t delay, void (*callback)(void *context), void *context);
void loop_timer_cancel(struct loop *loop, struct timer *timer);

/*
 * Calls back when `pid` has been reaped. All children of the process are reaped by the loop (it may be a subreaper
 * or PID 1); the status of one that died before it was registered is kept for a while and then delivered.
 */
void loop_child(struct loop *loop, struct child *child, pid_t pid, void (*callback)(void *context, int status),
                void *context);
void loop_child_cancel(struct loop *loop, struct child *child);

/* In a forked child before exec: default signal dispositions, empty mask. */
void loop_child_unblock(void);

/* 0–255; 128 + n for a death by signal n. */
int exit_code_of(int status);
