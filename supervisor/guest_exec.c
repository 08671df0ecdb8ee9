#define GUEST_NAMESPACES (CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"
#include "util.h"

static void drop(struct exec *exec) {
  for (struct exec **place = &exec->workload->execs; *place; place = &(*place)->next)
    if (*place == exec) {
      *place = exec->next;
      break;
    }
  json_decref(exec->spec);
  free(exec->id);
  free(exec);
}

static void started(struct process *process) { (void)process; }

static void failed(struct process *process) {
  struct exec *exec = process->owner;
  struct guest *guest = exec->workload->guest;
  drop(exec);
  guest_end_step(guest);
}

static void ended(struct process *process, int status) {
  struct exec *exec = process->owner;
  io_link_exited(&process->io, exit_code_of(status), false);
  guest_end_step(exec->workload->guest);
}

static void closed(struct process *process) { drop(process->owner); }

/* In the child, which is in the workload's pid namespace and cgroup already: the other namespaces, by its first process. */
static int join(void *context, struct error *error) {
  const int *first = context;
  if (syscall(SYS_setns, *first, GUEST_NAMESPACES) < 0) return error_errno(error, "join the workload's namespaces");
  return 0;
}

static int launch(struct exec *exec, struct link *link, struct error *error) {
  struct workload *workload = exec->workload;
  const struct guest *guest = workload->guest;
  json_t *process;
  if (need_object(exec->spec, "process", &process, error) < 0) return -1;
  cleanup_fd int first = (int)syscall(SYS_pidfd_open, workload->main.pid, 0);
  if (first < 0) return error_errno(error, "workload %.64s", workload->id);
  struct process_plan plan = {
      .process = process,
      .user = want_string(exec->spec, "user", ""),
      .stdin_open = want_bool(exec->spec, "openStdin", false),
      .filter = workload->filter,
      .filter_length = workload->filter_length,
      .cgroup = workload->cgroup,
      .enter = join,
      .context = &first,
  };
  exec->process.owner = exec;
  exec->process.started = started;
  exec->process.failed = failed;
  exec->process.ended = ended;
  exec->process.closed = closed;
  /* A pid namespace is entered by children only: ours for the moment of the fork. */
  if (syscall(SYS_setns, first, CLONE_NEWPID) < 0) return error_errno(error, "join the workload's pid namespace");
  int result = process_launch(&exec->process, guest->loop, link, &plan, error);
  if (syscall(SYS_setns, guest->own_pid_namespace, CLONE_NEWPID) < 0) complain("cannot return to the own pid namespace");
  return result;
}

struct exec *exec_find(struct workload *workload, const char *id, struct error *error) {
  for (struct exec *exec = workload->execs; exec; exec = exec->next)
    if (strcmp(exec->id, id) == 0) return exec;
  error_set(error, "not_found", "workload %.64s has no exec %.64s", workload->id, id);
  return NULL;
}

void guest_exec(struct wall *wall, struct link *link, const struct request *request) {
  struct guest *guest = (struct guest *)wall;
  struct error error = {0};
  struct workload *workload = workload_find(guest, request->workload, &error);
  size_t count = 0;
  for (struct exec *exec = workload ? workload->execs : NULL; exec; exec = exec->next) count++;
  if (workload && (workload->state != WORKLOAD_RUNNING || workload->main.pid <= 0 || guest->ending))
    error_set(&error, "conflict", "workload %.64s %s", workload->id,
              workload->state == WORKLOAD_PAUSED ? "is paused: resume it first" : "is not running");
  else if (workload && exec_find(workload, request->exec, NULL))
    error_set(&error, "exists", "there is an exec %.64s already", request->exec);
  else if (count >= GUEST_EXECS_MAX)
    error_set(&error, "exhausted", "workload %.64s has %d execs already", request->workload, GUEST_EXECS_MAX);
  if (error.code) {
    finish_error(link, &error);
    return;
  }
  struct exec *exec = xzalloc(sizeof *exec);
  exec->workload = workload;
  exec->id = xstrdup(request->exec);
  exec->spec = json_incref(request->spec);
  exec->next = workload->execs;
  workload->execs = exec;
  if (launch(exec, link, &error) < 0) {
    drop(exec);
    finish_error(link, &error);
  }
}
