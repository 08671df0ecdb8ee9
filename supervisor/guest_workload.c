#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base64.h"
#include "guest.h"
#include "guest_cgroup.h"
#include "guest_root.h"
#include "util.h"

enum { filter_limit = 4096 * 8 };

struct workload *workload_find(struct guest *guest, const char *id, struct error *error) {
  for (struct workload *workload = guest->workloads; workload; workload = workload->next)
    if (strcmp(workload->id, id) == 0) return workload;
  error_set(error, "not_found", "the guest has no workload %.64s", id);
  return NULL;
}

/* Ids are names of folders. */
static bool is_id(const char *id) {
  size_t length = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
  return length > 0 && length <= 64 && id[length] == 0;
}

struct workload *workload_make(struct guest *guest, const char *id, struct error *error) {
  struct workload *found = workload_find(guest, id, NULL);
  if (found) return found;
  size_t count = 0;
  for (struct workload *workload = guest->workloads; workload; workload = workload->next) count++;
  if (!is_id(id)) {
    error_set(error, "invalid", "workload id \"%.64s\" is not usable", id);
    return NULL;
  }
  if (count == GUEST_WORKLOADS_MAX) {
    error_set(error, "exhausted", "the guest has %d workloads already", GUEST_WORKLOADS_MAX);
    return NULL;
  }
  struct workload *workload = xzalloc(sizeof *workload);
  workload->guest = guest;
  workload->id = xstrdup(id);
  workload->cgroup = workload->oom_fd = -1;
  workload->next = guest->workloads;
  guest->workloads = workload;
  return workload;
}

void workload_kill(struct workload *workload) {
  guest_cgroup_kill(workload->cgroup);
  if (workload->main.pid > 0) kill(workload->main.pid, SIGKILL);
}

bool workload_is_still(const struct workload *workload) {
  if (workload->main.pid > 0) return false;
  for (const struct exec *exec = workload->execs; exec; exec = exec->next)
    if (exec->process.pid > 0) return false;
  return guest_cgroup_is_empty(workload->cgroup);
}

static void close_cgroup(struct workload *workload) {
  if (workload->oom_fd >= 0) {
    loop_unwatch(workload->guest->loop, &workload->oom_watch);
    close(take_fd(&workload->oom_fd));
  }
  if (workload->cgroup >= 0) close(take_fd(&workload->cgroup));
}

/* memory.events has changed. */
static void on_memory(void *context, uint32_t events) {
  (void)events;
  struct workload *workload = context;
  char text[256];
  (void)!pread(workload->oom_fd, text, sizeof text, 0); /* until it is read it stays ready */
  uint64_t kills = guest_cgroup_oom_kills(workload->cgroup);
  if (kills <= workload->oom_kills) return;
  workload->oom_kills = kills;
  mux_server_event(workload->guest->server, json_pack("{s:s, s:s}", "event", "oom", "workload", workload->id));
}

static void started(struct process *process) {
  struct workload *workload = process->owner;
  workload->state = WORKLOAD_RUNNING;
}

static void failed(struct process *process) {
  struct workload *workload = process->owner;
  workload->state = WORKLOAD_MOUNTED;
  guest_cgroup_kill(workload->cgroup);
  close_cgroup(workload);
  guest_end_step(workload->guest);
}

static void ended(struct process *process, int status) {
  struct workload *workload = process->owner;
  workload->state = WORKLOAD_EXITED;
  bool out_of_memory = guest_cgroup_oom_kills(workload->cgroup) > 0;
  if (out_of_memory) on_memory(workload, 0);
  io_link_exited(&process->io, exit_code_of(status), out_of_memory);
  /* The kernel has killed the rest of its pid namespace; whatever left it goes too. */
  guest_cgroup_kill(workload->cgroup);
  guest_end_step(workload->guest);
}

static void closed(struct process *process) { (void)process; }

/* The workload's own copy of its spec and filter. */
static int take_spec(struct workload *workload, const json_t *spec, struct error *error) {
  json_t *oci;
  const char *filter = want_string(spec, "seccompFilter", NULL);
  if (need_object(spec, "oci", &oci, error) < 0) return -1;
  json_decref(workload->spec);
  free(workload->filter);
  workload->filter = NULL;
  workload->spec = json_incref((json_t *)(uintptr_t)spec);
  workload->generation = want_int(spec, "generation", 0);
  if (!filter) return 0;
  uint8_t *bytes;
  ssize_t length = base64_decode(filter, &bytes);
  if (length <= 0 || length % 8 || length > filter_limit) {
    free(length < 0 ? NULL : bytes);
    return error_set(error, "invalid", "seccompFilter is no program of at most %d bytes", filter_limit);
  }
  workload->filter = bytes;
  workload->filter_length = (size_t)length;
  return 0;
}

static int launch(struct workload *workload, struct link *link, struct error *error) {
  const json_t *spec = workload->spec, *oci = json_object_get(spec, "oci");
  if (rootfs_mount(&workload->rootfs, workload->id, json_object_get(spec, "rootfs"), error) < 0 ||
      rootfs_provide(&workload->rootfs, json_object_get(spec, "files"), error) < 0)
    return -1;
  close_cgroup(workload);
  workload->cgroup = guest_cgroup_make(workload->id, json_object_get(json_object_get(oci, "linux"), "resources"), error);
  if (workload->cgroup < 0) return -1;
  workload->oom_kills = 0;
  workload->oom_fd = guest_cgroup_open_events(workload->cgroup);
  if (workload->oom_fd >= 0)
    loop_watch(workload->guest->loop, &workload->oom_watch, workload->oom_fd, EPOLLPRI, on_memory, workload);
  struct root_plan root = {.oci = oci, .files = json_object_get(spec, "files"), .rootfs = &workload->rootfs};
  struct process_plan plan = {
      .process = json_object_get(oci, "process"),
      .user = want_string(spec, "user", ""),
      .stdin_open = want_bool(spec, "openStdin", false),
      .filter = workload->filter,
      .filter_length = workload->filter_length,
      .cgroup = workload->cgroup,
      .namespaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS,
      .enter = root_enter,
      .context = &root,
      .console = true,
  };
  struct process *main = &workload->main;
  main->owner = workload;
  main->started = started;
  main->failed = failed;
  main->ended = ended;
  main->closed = closed;
  if (process_launch(main, workload->guest->loop, link, &plan, error) < 0) {
    close_cgroup(workload);
    return -1;
  }
  workload->state = WORKLOAD_STARTING;
  return 0;
}

void guest_start(struct wall *wall, struct link *link, const struct request *request) {
  struct guest *guest = (struct guest *)wall;
  struct error error = {0};
  struct workload *workload = NULL;
  if (!guest->configured || guest->ending)
    error_set(&error, "conflict", "the guest is %s", guest->ending ? "ending" : "not configured yet");
  else
    workload = workload_make(guest, request->workload, &error);
  if (workload && (process_is_busy(&workload->main) || workload->execs || !workload_is_still(workload))) {
    error_set(&error, "conflict", "workload %.64s runs already", request->workload);
    workload = NULL;
  }
  if (!workload || take_spec(workload, request->spec, &error) < 0 || launch(workload, link, &error) < 0)
    finish_error(link, &error);
}

/* What a stopped workload would see at its mounts. */
static int lay_mounts(struct workload *workload, const json_t *mounts, struct error *error) {
  cleanup_fd int root = open(workload->rootfs.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return error_errno(error, "open the root file system");
  for (size_t i = 0; i < json_array_size(mounts); i++)
    if (mount_spec(root, json_array_get(mounts, i), error) < 0) return -1;
  return 0;
}

void guest_mount_rootfs(struct wall *wall, struct link *link, const struct request *request) {
  struct error error = {0};
  json_t *rootfs;
  struct workload *workload = NULL;
  const json_t *mounts = json_object_get(request->body, "mounts");
  if (need_object(request->body, "rootfs", &rootfs, &error) == 0)
    workload = workload_make((struct guest *)wall, request->workload, &error);
  if (workload && workload->rootfs.folder)
    error_set(&error, "conflict", "the disks of workload %.64s are mounted already", workload->id);
  else if (workload && rootfs_mount(&workload->rootfs, workload->id, rootfs, &error) == 0)
    lay_mounts(workload, mounts, &error);
  if (error.code)
    finish_error(link, &error);
  else
    finish_ok(link, NULL);
}
