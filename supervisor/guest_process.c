#include "guest_process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util.h"

/* One message of the control socket. The code travels as text: a child in foreign namespaces is not trusted with pointers. */
struct word {
  char kind;
  int exit_status;
  char code[16];
  char message[1024];
};

static const char *const codes[] = {"invalid", "not_found",   "exists",      "conflict", "denied",   "exhausted",
                                    "internal", "unavailable", "unsupported", "canceled", "deadline", "corrupt"};

static const char *known_code(const char *text) {
  for (size_t i = 0; i < countof(codes); i++)
    if (strncmp(codes[i], text, sizeof((struct word *)0)->code) == 0) return codes[i];
  return "internal";
}

_Noreturn static void child(const struct process_plan *plan, int control, const int streams[3]) {
  struct error error = {0};
  /* Not to be looked into by a workload that it joins (until it executes the workload's program). */
  prctl(PR_SET_DUMPABLE, 0);
  loop_child_unblock();
  if (plan->enter(plan->context, &error) == 0) process_become(plan, control, streams, &error);
  struct word word = {.kind = CONTROL_FAILED, .exit_status = error.exit_status};
  snprintf(word.code, sizeof word.code, "%s", error.code ? error.code : "internal");
  snprintf(word.message, sizeof word.message, "%s", error.message);
  (void)!send(control, &word, sizeof word, MSG_NOSIGNAL);
  _exit(127);
}

static void close_launch(struct process *process) {
  if (process->control >= 0) {
    loop_unwatch(process->loop, &process->watch);
    close(take_fd(&process->control));
  }
  int *fds[] = {&process->in, &process->out, &process->err, &process->master};
  for (size_t i = 0; i < countof(fds); i++)
    if (*fds[i] >= 0) close(take_fd(fds[i]));
}

static void done(void *context) {
  struct process *process = context;
  io_link_close(&process->io);
  process->io = (struct io_link){0};
  process->closed(process);
}

static void reaped(void *context, int status) {
  struct process *process = context;
  process->pid = 0;
  /* The owner may want to say more with the exit status, so it passes it on: see process_exited in `ended`. */
  process->ended(process, status);
}

static void signal_frame(void *context, int number) {
  struct process *process = context;
  if (process->pid > 0 && number > 0) kill(process->pid, number);
}

static void reaped_failed(void *context, int status) {
  (void)status;
  struct process *process = context;
  process->pid = 0;
  struct link *link = process->link;
  process->link = NULL;
  if (link) {
    link->on_closed = NULL;
    finish_error(link, &process->error);
  }
  process->failed(process);
}

static void client_gone(struct link *link) {
  struct process *process = link->owner;
  process->link = NULL;
  if (process->pid > 0) kill(process->pid, SIGKILL);
}

/* The child's program runs. */
static void run(struct process *process) {
  struct link *link = process->link;
  pid_t pid = process->pid;
  process->link = NULL;
  link->on_closed = NULL;
  reply_ok(link, json_pack("{s:i}", "pid", (int)pid));
  process->io.on_signal = signal_frame;
  process->io.on_done = done;
  process->io.context = process;
  if (process->terminal)
    io_link_start(&process->io, process->loop, link, true, -1, take_fd(&process->master), -1);
  else
    io_link_start(&process->io, process->loop, link, false, take_fd(&process->in), take_fd(&process->out),
                  take_fd(&process->err));
  close_launch(process);
  process->started(process);
  loop_child(process->loop, &process->child, pid, reaped, process);
}

/* The control socket has closed: the child has executed its program, or is no more. */
static void settle(struct process *process) {
  bool has_terminal = !process->terminal || process->master >= 0;
  if (process->ready && !process->error.code && has_terminal && process->link) {
    run(process);
    return;
  }
  if (!process->error.code)
    error_set(&process->error, "exhausted", "the process was killed while it was being started: is its memory limit too small?");
  kill(process->pid, SIGKILL);
  close_launch(process);
  loop_child(process->loop, &process->child, process->pid, reaped_failed, process);
}

static void on_control(void *context, uint32_t events) {
  (void)events;
  struct process *process = context;
  struct word word = {0};
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec part = {&word, sizeof word};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t length = recvmsg(process->control, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (length <= 0) {
    settle(process);
    return;
  }
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
    int fd;
    memcpy(&fd, CMSG_DATA(header), sizeof fd);
    if (word.kind == CONTROL_TERMINAL && process->master < 0)
      process->master = fd;
    else
      close(fd);
  }
  if (word.kind == CONTROL_READY) process->ready = true;
  if (word.kind != CONTROL_FAILED) return;
  word.message[sizeof word.message - 1] = 0;
  error_set(&process->error, known_code(word.code), "%s", word.message);
  process->error.exit_status = word.exit_status;
}

static pid_t fork_into(unsigned long namespaces, int cgroup) {
  struct clone_args arguments = {.flags = namespaces | CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)cgroup};
  return (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
}

int process_launch(struct process *process, struct loop *loop, struct link *link, const struct process_plan *plan,
                   struct error *error) {
  process->loop = loop;
  process->error = (struct error){0};
  process->ready = false;
  process->terminal = want_bool(plan->process, "terminal", false);
  process->control = process->in = process->out = process->err = process->master = -1;
  cleanup_fd int theirs = -1, in = -1, out = -1, err = -1;
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) return error_errno(error, "control socket");
  process->control = pair[0];
  process->watch.fd = -1;
  theirs = pair[1];
  struct {
    bool wanted, ours_reads;
    int *ours, *theirs;
  } pipes[] = {{plan->stdin_open, false, &process->in, &in}, {true, true, &process->out, &out}, {true, true, &process->err, &err}};
  for (size_t i = 0; !process->terminal && i < countof(pipes); i++) {
    if (!pipes[i].wanted) continue;
    if (pipe2(pair, O_CLOEXEC) < 0) {
      error_errno(error, "pipe");
      close_launch(process);
      return -1;
    }
    *pipes[i].ours = pair[!pipes[i].ours_reads];
    *pipes[i].theirs = pair[pipes[i].ours_reads];
  }
  pid_t pid = fork_into(plan->namespaces, plan->cgroup);
  if (pid == 0) child(plan, theirs, (const int[]){in, out, err});
  if (pid < 0) {
    error_errno(error, "start a process");
    close_launch(process);
    return -1;
  }
  process->pid = pid;
  process->link = link;
  link->owner = process;
  link->on_closed = client_gone;
  loop_watch(loop, &process->watch, process->control, EPOLLIN, on_control, process);
  return 0;
}

bool process_is_busy(const struct process *process) {
  return process->pid > 0 || process->link || process->io.io.loop;
}
