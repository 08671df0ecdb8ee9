#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container.h"
#include "modes.h"
#include "util.h"

enum { config_limit = 8 << 20 };

/*
 * A mount namespace of its own: what is mounted here dies with the shim. Mounts of the host still come and go (slave),
 * so that the shim never keeps a host file system busy. With `hide_unified` an empty folder lies over the v2 hierarchy
 * that a hybrid host has beside v1: crun then sees plain v1.
 */
static int enter_namespace(bool hide_unified, struct error *error) {
  if (unshare(CLONE_NEWNS) < 0) return error_errno(error, "mount namespace");
  if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) return error_errno(error, "make mounts private");
  if (hide_unified && mount("none", "/sys/fs/cgroup/unified", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k") < 0)
    return error_errno(error, "hide the unified cgroup hierarchy");
  return 0;
}

static int make_folder(const char *path, struct error *error) {
  if (mkdir(path, 0700) < 0 && errno != EEXIST) return error_errno(error, "make %s", path);
  return 0;
}

/* Standard streams on /dev/null and supervisor.log: the engine may go, and nobody reads a pipe of it then. */
static int let_go_of_streams(const char *folder, struct error *error) {
  cleanup_free char *path = xprintf("%s/supervisor.log", folder);
  cleanup_fd int log = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  cleanup_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (log < 0 || null < 0) return error_errno(error, "open %s", path);
  if (dup2(null, 0) < 0 || dup2(log, 2) < 0) return error_errno(error, "standard streams");
  return 0;
}

static void on_client(void *context, struct link *link, const struct frame *frame) {
  struct container *container = context;
  dispatch(&container->wall, link, frame);
}

static struct container container = {
    .wall = {.hello = container_hello, .events = container_events, .start = container_start,
             .attach = container_attach, .exec = container_exec, .signal = container_signal,
             .resize = container_resize, .pause = container_pause, .resume = container_resume,
             .stats = container_stats, .stat = container_stat, .archive_read = container_archive_read,
             .archive_write = container_archive_write, .shutdown = container_shutdown},
    .oom_fd = -1,
};

static int prepare(json_t **config, struct error *error) {
  cleanup_free char *text = NULL;
  size_t length;
  const char *id, *folder, *program;
  if (!(text = read_all(0, config_limit, &length, error)) || !(*config = json_object_parse(text, length, error)))
    return -1;
  if (need_string(*config, "id", &id, error) < 0 || need_string(*config, "folder", &folder, error) < 0 ||
      need_string(*config, "runtime", &program, error) < 0)
    return -1;
  container.id = xstrdup(id);
  container.folder = xstrdup(folder);
  setsid();
  if (chdir("/") < 0) return error_errno(error, "enter /");
  umask(022);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  if (let_go_of_streams(folder, error) < 0 || enter_namespace(want_bool(*config, "hideUnified", false), error) < 0)
    return -1;
  container.runtime = (struct runtime){.program = xstrdup(program), .root = xprintf("%s/runtime", folder),
                                       .folder = xprintf("%s/calls", folder)};
  cleanup_free char *bundle = xprintf("%s/bundle", folder);
  if (make_folder(container.runtime.root, error) < 0 || make_folder(container.runtime.folder, error) < 0 ||
      make_folder(bundle, error) < 0)
    return -1;
  container.loop = container.runtime.loop = loop_new();
  cleanup_free char *socket = xprintf("%s/sock", folder);
  container.server = server_listen(container.loop, socket, on_client, &container, error);
  return container.server ? 0 : -1;
}

static struct watch signal_watch;

/* SIGTERM asks for an orderly end; what a terminal sends is none of the shim's business. */
static void on_terminate(void *context, uint32_t events) {
  (void)context;
  (void)events;
  char info[128];
  (void)!read(signal_watch.fd, info, sizeof info);
  struct container *self = &container;
  self->shutdown_asked = true;
  if (self->init > 0)
    kill(self->init, SIGKILL);
  else if (self->state == CONTAINER_CREATED)
    container_close(self, "terminated");
}

static void watch_signals(void) {
  signal(SIGHUP, SIG_IGN);
  signal(SIGINT, SIG_IGN);
  signal(SIGQUIT, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, NULL);
  int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd >= 0) loop_watch(container.loop, &signal_watch, fd, EPOLLIN, on_terminate, NULL);
}

int container_main(int argc, char **argv) {
  (void)argc;
  (void)argv;
  cleanup_json json_t *config = NULL;
  struct error error = {0};
  if (prepare(&config, &error) < 0) {
    cleanup_json json_t *answer = error_to_json(&error);
    cleanup_free char *text = json_dumps(answer, JSON_COMPACT);
    dprintf(1, "%s\n", text);
    return 1;
  }
  watch_signals();
  (void)!write(1, "ready\n", 6);
  dup2(0, 1); /* /dev/null */
  loop_run(container.loop);
  return 0;
}
