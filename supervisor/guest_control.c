#include <errno.h>
#include <signal.h>

#include "guest.h"
#include "guest_cgroup.h"
#include "util.h"

/* The workload or exec that the request is about, when it has a process. */
static struct process *find(struct guest *guest, const struct request *request, struct workload **workload,
                            struct error *error) {
  *workload = workload_find(guest, request->workload, error);
  if (!*workload) return NULL;
  struct process *process = &(*workload)->main;
  if (request->exec) {
    struct exec *exec = exec_find(*workload, request->exec, error);
    if (!exec) return NULL;
    process = &exec->process;
  }
  if (process->pid > 0) return process;
  error_set(error, "conflict", "workload %.64s is not running", request->workload);
  return NULL;
}

static void answer(struct link *link, const struct error *error) {
  if (error->code)
    finish_error(link, error);
  else
    finish_ok(link, NULL);
}

void guest_signal(struct wall *wall, struct link *link, const struct request *request) {
  struct error error = {0};
  struct workload *workload;
  const struct process *process = find((struct guest *)wall, request, &workload, &error);
  if (process && kill(process->pid, request->signal) < 0) error_errno(&error, "signal %d", request->signal);
  answer(link, &error);
}

void guest_resize(struct wall *wall, struct link *link, const struct request *request) {
  struct error error = {0};
  struct workload *workload;
  struct process *process = find((struct guest *)wall, request, &workload, &error);
  if (process) io_resize(&process->io.io, request->rows, request->columns);
  answer(link, &error);
}

static void freeze(struct guest *guest, struct link *link, const struct request *request, bool frozen) {
  struct error error = {0};
  enum workload_state from = frozen ? WORKLOAD_RUNNING : WORKLOAD_PAUSED, to = frozen ? WORKLOAD_PAUSED : WORKLOAD_RUNNING;
  struct workload *workload = workload_find(guest, request->workload, &error);
  if (workload && workload->state != from)
    error_set(&error, "conflict", "workload %.64s is not %s", request->workload, frozen ? "running" : "paused");
  else if (workload && guest_cgroup_freeze(workload->cgroup, frozen, &error) == 0)
    workload->state = to;
  answer(link, &error);
}

void guest_pause(struct wall *wall, struct link *link, const struct request *request) {
  freeze((struct guest *)wall, link, request, true);
}

void guest_resume(struct wall *wall, struct link *link, const struct request *request) {
  freeze((struct guest *)wall, link, request, false);
}

void guest_stats(struct wall *wall, struct link *link, const struct request *request) {
  struct error error = {0};
  struct workload *workload = workload_find((struct guest *)wall, request->workload, &error);
  if (workload && workload->cgroup < 0)
    error_set(&error, "conflict", "workload %.64s is not running", request->workload);
  if (error.code)
    finish_error(link, &error);
  else
    finish_ok(link, guest_cgroup_stats(workload->cgroup));
}
