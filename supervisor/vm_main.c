/* `gantry-supervisor vm`: the shim of one QEMU. See vm_shim.h for its parts. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "modes.h"
#include "util.h"
#include "vm_share.h"
#include "vm_shim.h"

enum { config_limit = 4 << 20, log_limit = 1 << 20 };

/* Our complaints go to the run folder; an old log that has grown too large is begun anew. */
static int open_log(const struct vm_config *config, struct error *error) {
  struct stat facts;
  cleanup_free char *path = xprintf("%s/supervisor.log", config->folder);
  cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return error_errno(error, "open %s", path);
  if (fstat(fd, &facts) == 0 && facts.st_size > log_limit && ftruncate(fd, 0) < 0) return error_errno(error, "cut %s", path);
  return dup2(fd, 2) < 0 ? error_errno(error, "write to %s", path) : 0;
}

static void to_null(int fd, int flags) {
  cleanup_fd int nothing = open("/dev/null", flags | O_CLOEXEC);
  if (nothing >= 0) dup2(nothing, fd);
}

static void say_error(const struct error *error) {
  cleanup_json json_t *object = error_to_json(error);
  cleanup_free char *text = json_dumps(object, JSON_COMPACT);
  if (!text) return;
  (void)write_all(1, text, strlen(text));
  (void)write_all(1, "\n", 1);
}

void vm_fail(struct vm *vm, const struct error *error) {
  complain("%s", error->message);
  vm_clean(vm);
  say_error(error);
  exit(1);
}

static void first_frame(void *context, struct link *link, const struct frame *frame) {
  struct vm *vm = context;
  dispatch(&vm->wall, link, frame);
}

void vm_say_ready(struct vm *vm) {
  struct error error;
  cleanup_free char *path = xprintf("%s/sock", vm->config.folder);
  vm->server = server_listen(vm->loop, path, first_frame, vm, &error);
  if (!vm->server) vm_fail(vm, &error);
  (void)write_all(1, "ready\n", 6);
  to_null(1, O_WRONLY);
}

static int prepare(struct vm *vm, struct error *error) {
  size_t length;
  cleanup_free char *text = read_all(0, config_limit, &length, error);
  if (!text || vm_config_parse(&vm->config, text, length, error) < 0) return -1;
  explicit_bzero(text, length);
  to_null(0, O_RDONLY);
  if (open_log(&vm->config, error) < 0) return -1;
  if (vm_share_mount(&vm->config, error) < 0) return -1;
  return vm_cgroup_make(&vm->cgroup, vm->config.cgroup, vm->config.memory_limit, vm->config.pids_limit, error);
}

int vm_main(int argc, char **argv) {
  (void)argv;
  struct error error;
  struct vm *vm = xzalloc(sizeof *vm);
  vm->qmp.fd = vm->console.fd = vm->messages.fd = -1;
  if (argc != 1) {
    error_set(&error, "invalid", "the vm mode takes no arguments, its configuration comes on standard input");
    say_error(&error);
    return 2;
  }
  umask(077);
  setsid();
  if (chdir("/") < 0) complain("chdir /: errno %d", errno);
  if (prepare(vm, &error) < 0) {
    say_error(&error);
    if (vm->config.folder) vm_clean(vm);
    return 1;
  }
  vm->loop = loop_new();
  vm->tries_left = vm->config.boot_tries;
  vm_wall_init(vm);
  if (vm_boot(vm, &error) < 0) vm_fail(vm, &error);
  loop_run(vm->loop);
  vm_workloads_free(vm);
  vm_console_free(&vm->console);
  vm_console_free(&vm->messages);
  free(vm->reason);
  vm_config_free(&vm->config);
  loop_free(vm->loop);
  free(vm);
  return 0;
}
