#include "loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util.h"

enum { batch = 32, kept_statuses = 64 };

struct loop {
  int epoll, signals;
  bool stopping;
  struct watch signal_watch;
  struct timer *timers; /* sorted by due */
  struct child *children;
  /* The events being dispatched, so that unwatch can strike out its own. */
  struct epoll_event *current;
  int current_count;
  /* Statuses of children nobody had registered when they died; a ring. */
  struct {
    pid_t pid;
    int status;
  } kept[kept_statuses];
  unsigned kept_next;
};

static struct child *find_child(struct loop *loop, pid_t pid) {
  for (struct child *child = loop->children; child; child = child->next)
    if (child->pid == pid) return child;
  return NULL;
}

static void reap(void *context, uint32_t events) {
  (void)events;
  struct loop *loop = context;
  struct signalfd_siginfo info;
  while (read(loop->signals, &info, sizeof info) > 0) continue;
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    if (!WIFEXITED(status) && !WIFSIGNALED(status)) continue;
    struct child *child = find_child(loop, pid);
    if (child) {
      loop_child_cancel(loop, child);
      child->callback(child->context, status);
      continue;
    }
    loop->kept[loop->kept_next % kept_statuses].pid = pid;
    loop->kept[loop->kept_next++ % kept_statuses].status = status;
  }
}

struct loop *loop_new(void) {
  struct loop *loop = xzalloc(sizeof *loop);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigprocmask(SIG_BLOCK, &set, NULL);
  signal(SIGPIPE, SIG_IGN);
  loop->epoll = epoll_create1(EPOLL_CLOEXEC);
  loop->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (loop->epoll < 0 || loop->signals < 0) {
    complain("no event loop: errno %d", errno);
    abort();
  }
  loop_watch(loop, &loop->signal_watch, loop->signals, EPOLLIN, reap, loop);
  return loop;
}

void loop_free(struct loop *loop) {
  close(loop->signals);
  close(loop->epoll);
  free(loop);
}

static int time_to_next(struct loop *loop) {
  if (!loop->timers) return -1;
  int64_t left = loop->timers->due - monotonic_ms();
  return left < 0 ? 0 : left > 3600000 ? 3600000 : (int)left;
}

static void run_timers(struct loop *loop) {
  int64_t now = monotonic_ms();
  /* Zero-delay timers set by a callback run in this pass too, as long as the millisecond lasts. */
  while (loop->timers && loop->timers->due <= now && !loop->stopping) {
    struct timer *timer = loop->timers;
    loop_timer_cancel(loop, timer);
    timer->callback(timer->context);
  }
}

void loop_run(struct loop *loop) {
  struct epoll_event events[batch];
  loop->stopping = false;
  while (!loop->stopping) {
    int count = epoll_wait(loop->epoll, events, batch, time_to_next(loop));
    if (count < 0 && errno != EINTR) {
      complain("epoll_wait: errno %d", errno);
      abort();
    }
    loop->current = events;
    loop->current_count = count < 0 ? 0 : count;
    for (int i = 0; i < loop->current_count && !loop->stopping; i++) {
      struct watch *watch = events[i].data.ptr;
      events[i].data.ptr = NULL;
      if (watch) watch->callback(watch->context, events[i].events);
    }
    loop->current_count = 0;
    run_timers(loop);
  }
}

void loop_stop(struct loop *loop) { loop->stopping = true; }

void loop_watch(struct loop *loop, struct watch *watch, int fd, uint32_t events,
                void (*callback)(void *context, uint32_t events), void *context) {
  *watch = (struct watch){.callback = callback, .context = context, .fd = fd, .events = events};
  struct epoll_event event = {.events = events, .data.ptr = watch};
  if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
    complain("cannot watch descriptor %d: errno %d", fd, errno);
    abort();
  }
}

void loop_rewatch(struct loop *loop, struct watch *watch, uint32_t events) {
  if (watch->fd < 0 || watch->events == events) return;
  watch->events = events;
  struct epoll_event event = {.events = events, .data.ptr = watch};
  epoll_ctl(loop->epoll, EPOLL_CTL_MOD, watch->fd, &event);
}

void loop_unwatch(struct loop *loop, struct watch *watch) {
  if (!watch->callback || watch->fd < 0) return;
  epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
  watch->fd = -1;
  for (int i = 0; i < loop->current_count; i++)
    if (loop->current[i].data.ptr == watch) loop->current[i].data.ptr = NULL;
}

void loop_timer(struct loop *loop, struct timer *timer, int64_t delay, void (*callback)(void *context), void *context) {
  loop_timer_cancel(loop, timer);
  int64_t due = monotonic_ms() + (delay > 0 ? delay : 0);
  *timer = (struct timer){.callback = callback, .context = context, .due = due};
  struct timer **place = &loop->timers;
  while (*place && (*place)->due <= due) place = &(*place)->next;
  timer->next = *place;
  *place = timer;
}

void loop_timer_cancel(struct loop *loop, struct timer *timer) {
  if (timer->due == 0) return;
  for (struct timer **place = &loop->timers; *place; place = &(*place)->next)
    if (*place == timer) {
      *place = timer->next;
      break;
    }
  timer->due = 0;
}

struct late {
  struct timer timer;
  struct loop *loop;
  pid_t pid;
  int status;
};

static void deliver_late(void *context) {
  struct late *late = context;
  struct child *child = find_child(late->loop, late->pid);
  if (child) {
    loop_child_cancel(late->loop, child);
    child->callback(child->context, late->status);
  }
  free(late);
}

void loop_child(struct loop *loop, struct child *child, pid_t pid, void (*callback)(void *context, int status),
                void *context) {
  *child = (struct child){.callback = callback, .context = context, .pid = pid, .next = loop->children};
  loop->children = child;
  for (int i = 0; i < kept_statuses; i++) {
    if (loop->kept[i].pid != pid) continue;
    loop->kept[i].pid = 0;
    struct late *late = xzalloc(sizeof *late);
    late->loop = loop;
    late->pid = pid;
    late->status = loop->kept[i].status;
    loop_timer(loop, &late->timer, 0, deliver_late, late);
    return;
  }
}

void loop_child_cancel(struct loop *loop, struct child *child) {
  for (struct child **place = &loop->children; *place; place = &(*place)->next)
    if (*place == child) {
      *place = child->next;
      break;
    }
  child->pid = 0;
}

void loop_child_unblock(void) {
  for (int number = 1; number < NSIG; number++)
    if (number != SIGKILL && number != SIGSTOP) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

int exit_code_of(int status) {
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  if (WIFSIGNALED(status)) return 128 + WTERMSIG(status);
  return 255;
}
