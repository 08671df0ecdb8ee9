#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container.h"
#include "overlay.h"
#include "user.h"
#include "util.h"

int container_write_json(const char *path, const json_t *document, struct error *error) {
  cleanup_free char *text = json_dumps(document, JSON_COMPACT);
  if (!text) return error_set(error, "internal", "%s: no JSON", path);
  cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0 || write_all(fd, text, strlen(text)) < 0) return error_errno(error, "write %s", path);
  return 0;
}

/* Adds HOME to the environment when it is not there. */
static void set_home(json_t *process, const char *home) {
  json_t *env = json_object_get(process, "env"), *entry;
  size_t i;
  json_array_foreach(env, i, entry) {
    const char *text = json_string_value(entry);
    if (text && strncmp(text, "HOME=", 5) == 0) return;
  }
  if (!json_is_array(env)) {
    env = json_array();
    json_object_set_new(process, "env", env);
  }
  cleanup_free char *text = xprintf("HOME=%s", home);
  /* A home that is not UTF-8 gives no string; the root folder then. */
  json_t *value = json_string(text);
  json_array_append_new(env, value ? value : json_string("HOME=/"));
}

int container_set_user(int root, json_t *process, const char *name, struct error *error) {
  struct user user;
  if (user_lookup(root, name, &user, error) < 0) return -1;
  json_t *groups = json_array();
  for (size_t i = 0; i < user.group_count; i++) json_array_append_new(groups, json_integer(user.groups[i]));
  json_object_set_new(process, "user",
                      json_pack("{s:I s:I s:o}", "uid", (json_int_t)user.uid, "gid", (json_int_t)user.gid,
                                "additionalGids", groups));
  set_home(process, user.home);
  user_free(&user);
  return 0;
}

/* Writes the engine's files into the run folder and adds a bind mount for each. */
static int provide_files(struct container *container, const json_t *files, json_t *oci, struct error *error) {
  json_t *mounts = json_object_get(oci, "mounts"), *file;
  bool read_only = want_bool(json_object_get(oci, "root"), "readonly", false);
  cleanup_free char *folder = xprintf("%s/files", container->folder);
  if (mkdir(folder, 0755) < 0 && errno != EEXIST) return error_errno(error, "make %s", folder);
  size_t i;
  json_array_foreach(files, i, file) {
    const char *target, *content;
    int64_t mode;
    if (need_string(file, "target", &target, error) < 0 || need_string(file, "content", &content, error) < 0 ||
        need_int(file, "mode", 0, 07777, &mode, error) < 0)
      return -1;
    cleanup_free char *path = xprintf("%s/%zu", folder, i);
    cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || write_all(fd, content, strlen(content)) < 0 || fchmod(fd, (mode_t)mode) < 0)
      return error_errno(error, "write %s", path);
    json_array_append_new(mounts, json_pack("{s:s s:s s:s s:[s,s,s]}", "destination", target, "type", "bind", "source",
                                            path, "options", "rbind", "rprivate", read_only ? "ro" : "rw"));
  }
  return 0;
}

/* The bundle: what the engine planned, with what only a look into the root file system can tell. */
static int make_bundle(struct container *container, const json_t *spec, struct error *error) {
  json_t *oci, *process, *mounts, *files;
  const char *user, *cwd;
  if (need_object(spec, "oci", &oci, error) < 0 || need_object(oci, "process", &process, error) < 0 ||
      need_array(oci, "mounts", &mounts, error) < 0 || need_array(spec, "files", &files, error) < 0 ||
      need_string(spec, "user", &user, error) < 0 || need_string(process, "cwd", &cwd, error) < 0)
    return -1;
  cleanup_fd int root = open(container->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return error_errno(error, "open %s", container->rootfs);
  if (container_set_user(root, process, user, error) < 0) return -1;
  cleanup_fd int workdir = rootfs_make_folder(root, cwd, error);
  if (workdir < 0) return -1;
  json_t *root_object = json_object_get(oci, "root");
  if (!root_object) json_object_set_new(oci, "root", root_object = json_object());
  json_object_set_new(root_object, "path", json_string(container->rootfs));
  if (provide_files(container, files, oci, error) < 0) return -1;
  container->terminal = want_bool(process, "terminal", false);
  cleanup_free char *path = xprintf("%s/bundle/config.json", container->folder);
  return container_write_json(path, oci, error);
}

void container_unmount(struct container *container) {
  if (!container->rootfs) return;
  if (umount2(container->rootfs, 0) < 0 && umount2(container->rootfs, MNT_DETACH) < 0)
    complain("unmount %s: %s", container->rootfs, strerror(errno));
  free(container->rootfs);
  container->rootfs = NULL;
}

static void forget_workload(struct container *container) {
  container_unmount(container);
  log_close(container->log);
  container->log = container->fanout.log = NULL;
  free(container->workload);
  free(container->exit_file);
  container->workload = container->exit_file = NULL;
  container->state = CONTAINER_CREATED;
}

static void start_failed(struct container *container, const struct error *error) {
  struct link *link = container->start_link;
  container->start_link = NULL;
  fanout_close(&container->fanout);
  forget_workload(container);
  if (link) finish_error(link, error);
  if (container->shutdown_asked) container_close(container, "shutdown");
}

static size_t unlimited(void *context) {
  (void)context;
  return SIZE_MAX;
}
static void to_fanout(void *context, uint8_t type, const void *data, size_t length) {
  struct container *container = context;
  if (type == FRAME_STDERR || container->terminal) {
    size_t place = sizeof container->first_words - 1;
    if (container->words_length + length <= place) memcpy(container->first_words + container->words_length, data, length);
    container->words_length += length;
  }
  fanout_output(&container->fanout, type, data, length);
}
static void input_full(void *context, bool full) { fanout_input_full(&((struct container *)context)->fanout, full); }
static const struct io_handlers io_handlers = {unlimited, to_fanout, input_full, container_drained};

static void give_input(void *context, const void *data, size_t length) {
  io_input(&((struct container *)context)->io, data, length);
}
static void end_input(void *context) { io_input_end(&((struct container *)context)->io); }
static void resize(void *context, uint16_t rows, uint16_t columns) {
  io_resize(&((struct container *)context)->io, rows, columns);
}
static void send_signal(void *context, int number) {
  struct container *container = context;
  if (container->init > 0) kill(container->init, number);
}
static const struct fanout_handlers fanout_handlers = {give_input, end_input, resize, send_signal};

static void on_oom(void *context, uint32_t events) {
  (void)events;
  struct container *container = context;
  char data[4096];
  if (read(container->oom_fd, data, sizeof data) < 0 && errno == EAGAIN) return;
  container_check_oom(container);
}

static void started(void *context, struct runtime_call *call) {
  struct container *container = context;
  if (call->error.code) {
    struct error error = call->error;
    runtime_call_free(call);
    runtime_wait(&container->runtime, (const char *const[]){"delete", "--force", container->id, NULL});
    start_failed(container, &error);
    return;
  }
  container->state = CONTAINER_RUNNING;
  container->init = call->pid;
  loop_child(container->loop, &container->init_child, call->pid, container_init_exited, container);
  if (host_cgroup_of(call->pid, &container->cgroup, NULL) == 0) {
    container->oom_fd = host_cgroup_watch_oom(&container->cgroup);
    if (container->oom_fd >= 0)
      loop_watch(container->loop, &container->oom_watch, container->oom_fd, EPOLLIN, on_oom, container);
  }
  struct link *link = container->start_link;
  container->start_link = NULL;
  if (link) finish_ok(link, json_pack("{s:i}", "pid", (int)call->pid));
  if (container->terminal)
    io_start_terminal(&container->io, container->loop, &io_handlers, container, take_fd(&call->out));
  else
    io_start(&container->io, container->loop, &io_handlers, container, take_fd(&call->in), take_fd(&call->out),
             take_fd(&call->err));
  fanout_started(&container->fanout, container->open_stdin, container->stdin_once);
  if (container->shutdown_asked) kill(container->init, SIGKILL);
}

static void starter_gone(struct link *link) { ((struct container *)link->owner)->start_link = NULL; }

static int begin(struct container *container, const json_t *spec, struct error *error) {
  json_t *rootfs, *log;
  const char *exit_file, *log_path, *target;
  int64_t generation;
  if (need_object(spec, "rootfs", &rootfs, error) < 0 || need_object(spec, "log", &log, error) < 0 ||
      need_string(spec, "exitFile", &exit_file, error) < 0 || need_string(log, "path", &log_path, error) < 0 ||
      need_int(spec, "generation", 0, INT64_MAX, &generation, error) < 0)
    return -1;
  container->generation = generation;
  container->exit_file = xstrdup(exit_file);
  container->open_stdin = want_bool(spec, "openStdin", false);
  container->stdin_once = want_bool(spec, "stdinOnce", false);
  container->log = log_open(log_path, want_int(log, "maxSize", 0), (int)want_int(log, "maxFiles", 1), error);
  if (!container->log) return -1;
  container->fanout.log = container->log;
  if (overlay_mount(rootfs, error) < 0 || need_string(rootfs, "target", &target, error) < 0) return -1;
  container->rootfs = xstrdup(target);
  if (make_bundle(container, spec, error) < 0) return -1;
  cleanup_free char *bundle = xprintf("%s/bundle", container->folder);
  return runtime_start(&container->runtime, &container->start_call, (const char *const[]){"run", NULL},
                       (const char *const[]){"--bundle", bundle, container->id, NULL}, container->terminal,
                       container->open_stdin, started, container, error);
}

void container_start(struct wall *wall, struct link *link, const struct request *request) {
  struct container *container = container_of(wall);
  struct error error = {0};
  if (container->state != CONTAINER_CREATED || container->closing) {
    error_set(&error, "conflict", "this sandbox has had its workload already");
    finish_error(link, &error);
    return;
  }
  container->state = CONTAINER_STARTING;
  container->workload = xstrdup(request->workload);
  container->fanout.handlers = &fanout_handlers;
  container->fanout.context = container;
  container->start_link = link;
  link->owner = container;
  link->on_closed = starter_gone;
  if (begin(container, request->spec, &error) < 0) start_failed(container, &error);
}
