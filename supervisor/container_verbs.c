#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "container.h"
#include "modes.h"
#include "util.h"

int container_check(struct container *container, const struct request *request, bool running, struct error *error) {
  if (container->workload && strcmp(container->workload, request->workload) != 0)
    return error_set(error, "not_found", "no workload %.64s in this sandbox", request->workload);
  if (running && container->state != CONTAINER_RUNNING)
    return error_set(error, "conflict", "workload %.64s does not run", request->workload);
  return 0;
}

/* Answers {} or the error. */
static void finish(struct link *link, const struct error *error) {
  if (error->code)
    finish_error(link, error);
  else
    finish_ok(link, NULL);
}

void container_hello(struct wall *wall, struct link *link, const struct request *request) {
  (void)request;
  struct container *container = container_of(wall);
  json_t *workloads = json_array();
  if (container->workload) {
    const char *state = container->state == CONTAINER_STARTING  ? "created"
                        : container->state == CONTAINER_EXITED ? "exited"
                        : container->paused                    ? "paused"
                                                               : "running";
    int64_t dropped = container->log ? log_dropped(container->log) : container->log_dropped;
    json_t *workload = json_pack("{s:s s:I s:s s:I}", "id", container->workload, "generation",
                                 (json_int_t)container->generation, "state", state, "logDropped", (json_int_t)dropped);
    if (container->init > 0) json_object_set_new(workload, "pid", json_integer(container->init));
    if (container->exit) json_object_set(workload, "exit", container->exit);
    json_array_append_new(workloads, workload);
  }
  finish_ok(link, json_pack("{s:s s:s s:i s:o}", "version", GANTRY_VERSION, "isolation", "container", "pid",
                            (int)getpid(), "workloads", workloads));
}

struct subscriber {
  struct container *container;
  struct link *link;
  struct subscriber *next;
};

static void subscriber_gone(struct link *link) {
  struct subscriber *gone = link->owner;
  for (struct subscriber **place = &gone->container->subscribers; *place; place = &(*place)->next)
    if (*place == gone) {
      *place = gone->next;
      break;
    }
  free(gone);
}

void container_events(struct wall *wall, struct link *link, const struct request *request) {
  (void)request;
  struct container *container = container_of(wall);
  struct subscriber *subscriber = xzalloc(sizeof *subscriber);
  *subscriber = (struct subscriber){container, link, container->subscribers};
  container->subscribers = subscriber;
  link->owner = subscriber;
  link->on_closed = subscriber_gone;
  reply_ok(link, NULL);
}

void container_event(struct container *container, json_t *event) {
  for (struct subscriber *one = container->subscribers, *next; one; one = next) {
    next = one->next;
    if (link_queued(one->link) < FRAME_LIMIT) link_send_json(one->link, FRAME_EVENT, json_incref(event));
    if (!container->closing) continue;
    struct link *link = one->link;
    subscriber_gone(link);
    link_finish(link);
  }
  json_decref(event);
}

void container_attach(struct wall *wall, struct link *link, const struct request *request) {
  struct container *container = container_of(wall);
  struct error error = {0};
  if (container_check(container, request, false, &error) == 0 &&
      (container->closing || container->state >= CONTAINER_ENDING))
    error_set(&error, "conflict", "workload %.64s has ended", request->workload);
  if (error.code)
    finish_error(link, &error);
  else
    fanout_attach(&container->fanout, link, request);
}

void container_signal(struct wall *wall, struct link *link, const struct request *request) {
  struct container *container = container_of(wall);
  struct error error = {0};
  if (container_check(container, request, true, &error) == 0) {
    struct exec *exec = request->exec ? container_find_exec(container, request->exec) : NULL;
    if (exec)
      exec_signal(exec, request->signal, &error);
    else if (request->exec)
      error_set(&error, "not_found", "no exec %.64s runs", request->exec);
    else if (kill(container->init, request->signal) < 0)
      error_errno(&error, "signal %d", request->signal);
    /* Frozen processes do not even die. */
    else if (request->signal == SIGKILL && container->paused && host_cgroup_freeze(&container->cgroup, false, &error) == 0)
      container->paused = false;
  }
  finish(link, &error);
}

void container_resize(struct wall *wall, struct link *link, const struct request *request) {
  struct container *container = container_of(wall);
  struct error error = {0};
  struct exec *exec = request->exec ? container_find_exec(container, request->exec) : NULL;
  if (container_check(container, request, false, &error) == 0) {
    if (exec)
      exec_resize(exec, request->rows, request->columns);
    else if (request->exec)
      error_set(&error, "not_found", "no exec %.64s runs", request->exec);
    else
      fanout_resize(&container->fanout, request->rows, request->columns);
  }
  finish(link, &error);
}

static void freeze(struct wall *wall, struct link *link, const struct request *request, bool frozen) {
  struct container *container = container_of(wall);
  struct error error = {0};
  if (container_check(container, request, true, &error) == 0) {
    if (container->paused == frozen)
      error_set(&error, "conflict", frozen ? "it is paused already" : "it is not paused");
    else if (host_cgroup_freeze(&container->cgroup, frozen, &error) == 0)
      container->paused = frozen;
    else if (frozen)
      host_cgroup_freeze(&container->cgroup, false, NULL); /* not half */
  }
  finish(link, &error);
}

void container_pause(struct wall *wall, struct link *link, const struct request *request) {
  freeze(wall, link, request, true);
}
void container_resume(struct wall *wall, struct link *link, const struct request *request) {
  freeze(wall, link, request, false);
}

/* Bytes through all links of the process's network namespace but its loopback. */
static void network_stats(pid_t pid, json_t *stats) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/net/dev", (int)pid);
  cleanup_free char *text = read_path(path, 1 << 20, NULL, NULL);
  int64_t received = 0, sent = 0;
  char *rest = text;
  for (char *line; (line = strsep(&rest, "\n"));) {
    char name[32];
    int64_t in, out;
    if (sscanf(line, " %31[^:]: %" SCNd64 " %*s %*s %*s %*s %*s %*s %*s %" SCNd64, name, &in, &out) != 3) continue;
    if (strcmp(name, "lo") == 0) continue;
    received += in;
    sent += out;
  }
  json_object_set_new(stats, "netRx", json_integer(received));
  json_object_set_new(stats, "netTx", json_integer(sent));
}

void container_stats(struct wall *wall, struct link *link, const struct request *request) {
  struct container *container = container_of(wall);
  struct error error = {0};
  if (container_check(container, request, true, &error) < 0) {
    finish_error(link, &error);
    return;
  }
  json_t *stats = host_cgroup_usage(&container->cgroup);
  network_stats(container->init, stats);
  finish_ok(link, stats);
}

void container_shutdown(struct wall *wall, struct link *link, const struct request *request) {
  (void)request;
  struct container *container = container_of(wall);
  finish_ok(link, NULL);
  container->shutdown_asked = true;
  if (container->state == CONTAINER_CREATED) {
    container_close(container, "shutdown");
  } else if (container->init > 0) {
    kill(container->init, SIGKILL);
    if (container->paused && host_cgroup_freeze(&container->cgroup, false, NULL) == 0) container->paused = false;
  }
}

int container_root(struct container *container, struct error *error) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/root", (int)container->init);
  int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  return fd < 0 ? error_errno(error, "open the workload's root") : fd;
}
