/* From nothing to a guest that answers: QEMU with its channels, the watchdog, another try, the first requests. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "util.h"
#include "vm_share.h"
#include "vm_shim.h"
#include "vm_spawn.h"

/* A socketpair whose far end becomes QEMU's descriptor `place`. Returns our end. */
static int channel(struct vm_descriptors *descriptors, int place, struct error *error) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return error_errno(error, "make a socket pair");
  if (vm_descriptors_set(descriptors, place, pair[1], error) < 0) {
    close(pair[0]);
    return -1;
  }
  return pair[0];
}

/* Time for the writable layer: the guest may hang on its shares. */
enum { shareless_patience = 5000 };

/* Whoever touches a share would hang from now on, for ever: an end that is seen is better. */
static void virtiofsd_died(void *context, int status) {
  struct vm *vm = context;
  vm->virtiofsd = 0;
  if (vm->phase == VM_BOOTING) vm_boot_failed(vm, true, "virtiofsd ended with status %d", exit_code_of(status));
  if (vm->phase != VM_OPEN) return;
  vm_because(vm, "virtiofsd ended with status %d: the guest's shares are gone", exit_code_of(status));
  complain("%s", vm->reason);
  vm_close(vm, vm->reason, shareless_patience);
}

static int start_virtiofsd(struct vm *vm, struct vm_descriptors *descriptors, int output, struct error *error) {
  int listener, connected;
  if (vm->config.share_count == 0) return 0;
  if (vm_share_sockets(&vm->config, &listener, &connected, error) < 0) return -1;
  descriptors->fds[VM_FD_SHARES] = connected;
  vm->virtiofsd = vm_spawn_virtiofsd(&vm->config, &vm->cgroup, listener, output, error);
  close(listener);
  if (vm->virtiofsd < 0) {
    vm->virtiofsd = 0;
    return -1;
  }
  loop_child(vm->loop, &vm->virtiofsd_child, vm->virtiofsd, virtiofsd_died, vm);
  return 0;
}

/* Milliseconds of CPU that a process has used, with all its threads; -1 when it is gone. */
static int64_t cpu_ms(pid_t pid) {
  char path[64];
  unsigned long user, system;
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  cleanup_free char *text = read_path(path, 4096, NULL, NULL);
  const char *fields = text ? strrchr(text, ')') : NULL;
  if (!fields || sscanf(fields, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2) return -1;
  return (int64_t)(user + system) * 1000 / sysconf(_SC_CLK_TCK);
}

/* On a busy host a boot takes long without being stuck: what counts is the CPU time it has had. */
static void watch_boot(void *context) {
  struct vm *vm = context;
  int64_t wall = monotonic_ms() - vm->spawned, cpu = cpu_ms(vm->qemu);
  if (cpu < vm->config.boot_cpu && wall < vm->config.boot_timeout) {
    loop_timer(vm->loop, &vm->watchdog, 500, watch_boot, vm);
    return;
  }
  vm_boot_failed(vm, true, "the guest did not come up within %lld ms (%lld ms of CPU)%s", (long long)wall,
                 (long long)cpu, vm->up ? ": it stopped at its first requests" : "");
}

struct attempt {
  struct vm_descriptors descriptors;
  int qmp, agent, console, messages, output;
};

static void end_attempt(struct attempt *attempt) {
  vm_descriptors_close(&attempt->descriptors);
  int *const fds[] = {&attempt->qmp, &attempt->agent, &attempt->console, &attempt->messages, &attempt->output};
  for (size_t i = 0; i < countof(fds); i++)
    if (*fds[i] >= 0) close(*fds[i]);
}

static int start_attempt(struct vm *vm, struct attempt *attempt, struct error *error) {
  struct vm_descriptors *descriptors = &attempt->descriptors;
  int messages[2];
  if (pipe2(messages, O_CLOEXEC) < 0) return error_errno(error, "make a pipe");
  attempt->messages = messages[0];
  attempt->output = messages[1];
  if ((attempt->qmp = channel(descriptors, VM_FD_QMP, error)) < 0 ||
      (attempt->agent = channel(descriptors, VM_FD_AGENT, error)) < 0 ||
      (attempt->console = channel(descriptors, VM_FD_CONSOLE, error)) < 0 ||
      vm_descriptors_open(descriptors, &vm->config, error) < 0 ||
      start_virtiofsd(vm, descriptors, attempt->output, error) < 0)
    return -1;
  vm->spawned = monotonic_ms();
  vm->qemu = vm_spawn_qemu(&vm->config, &vm->cgroup, descriptors, attempt->output, error);
  if (vm->qemu > 0) return 0;
  vm->qemu = 0;
  return -1;
}

int vm_boot(struct vm *vm, struct error *error) {
  struct attempt attempt = {.qmp = -1, .agent = -1, .console = -1, .messages = -1, .output = -1};
  vm_descriptors_init(&attempt.descriptors);
  vm->tries_left--;
  vm->up = false;
  int result = start_attempt(vm, &attempt, error);
  if (result == 0) {
    loop_child(vm->loop, &vm->qemu_child, vm->qemu, vm_qemu_died, vm);
    vm_qmp_start(&vm->qmp, vm->loop, take_fd(&attempt.qmp));
    vm_channel_open(vm, take_fd(&attempt.agent));
    vm_console_start(&vm->console, vm->loop, take_fd(&attempt.console));
    vm_console_start(&vm->messages, vm->loop, take_fd(&attempt.messages));
    loop_timer(vm->loop, &vm->watchdog, 500, watch_boot, vm);
  }
  end_attempt(&attempt);
  return result;
}

void vm_boot_failed(struct vm *vm, bool again, const char *format, ...) {
  va_list arguments;
  if (!vm->boot_problem) {
    va_start(arguments, format);
    if (vasprintf(&vm->boot_problem, format, arguments) < 0) vm->boot_problem = NULL;
    va_end(arguments);
    vm->boot_again = again;
  }
  vm_kill(vm);
}

void vm_boot_ended(struct vm *vm, int status) {
  struct error error;
  if (!vm->boot_problem) {
    /* Status 1 is QEMU's refusal of its command line: the same again next time. */
    vm->boot_again = !(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    vm->boot_problem = vm->qmp.shutdown_reason[0]
                           ? xprintf("the guest shut down while booting (%s)", vm->qmp.shutdown_reason)
                           : xprintf("QEMU ended with status %d while the guest was booting", exit_code_of(status));
  }
  loop_timer_cancel(vm->loop, &vm->watchdog);
  vm_qmp_stop(&vm->qmp);
  vm_channel_close(vm);
  vm_console_stop(&vm->console);
  vm_console_stop(&vm->messages);
  cleanup_free char *said = vm_console_tail(&vm->messages, 3);
  cleanup_free char *shown = vm_console_tail(&vm->console, 5);
  if (vm->boot_again && vm->tries_left > 0) {
    complain("%s; trying again. console: %.1000s", vm->boot_problem, shown);
    free(vm->boot_problem);
    vm->boot_problem = NULL;
    if (vm->virtiofsd > 0) {
      loop_child_cancel(vm->loop, &vm->virtiofsd_child);
      kill(vm->virtiofsd, SIGKILL);
      vm->virtiofsd = 0;
    }
    if (vm_boot(vm, &error) < 0) vm_fail(vm, &error);
    return;
  }
  error_set(&error, "unavailable", "%s%s%.300s; the console ended with: %.500s", vm->boot_problem,
            *said ? "; QEMU said: " : "", said, *shown ? shown : "(nothing)");
  vm_console_dump(&vm->messages, "qemu");
  vm_console_dump(&vm->console, "console");
  vm_fail(vm, &error);
}

/* The guest has answered all it was asked before the engine may come. */
static void open_now(struct vm *vm) {
  loop_timer_cancel(vm->loop, &vm->watchdog);
  vm->phase = VM_OPEN;
  vm_say_ready(vm);
}

/* False when the reply is an error: this attempt is over (the guest said so itself: no other one). */
static bool accepted(struct vm *vm, const char *op, const json_t *reply) {
  const json_t *failure = json_object_get(reply, "error");
  if (!failure) return true;
  vm_boot_failed(vm, false, "the guest refused %s: %.500s", op, want_string(failure, "message", "no reason given"));
  return false;
}

static void mounted(struct vm *vm, const json_t *reply) {
  if (accepted(vm, "mount-rootfs", reply)) open_now(vm);
}

static void configured(struct vm *vm, const json_t *reply) {
  if (!accepted(vm, "configure", reply)) return;
  if (json_is_object(vm->config.mount))
    vm_channel_ask(vm, json_incref(vm->config.mount), mounted);
  else
    open_now(vm);
}

static char *base64(const uint8_t *bytes, size_t length) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  char *text = xmalloc((length + 2) / 3 * 4 + 1), *out = text;
  for (size_t i = 0; i < length; i += 3) {
    uint32_t group = (uint32_t)bytes[i] << 16;
    if (i + 1 < length) group |= (uint32_t)bytes[i + 1] << 8;
    if (i + 2 < length) group |= bytes[i + 2];
    *out++ = digits[group >> 18];
    *out++ = digits[group >> 12 & 63];
    *out++ = i + 1 < length ? digits[group >> 6 & 63] : '=';
    *out++ = i + 2 < length ? digits[group & 63] : '=';
  }
  *out = 0;
  return text;
}

void vm_boot_up(struct vm *vm) {
  if (vm->up || vm->phase != VM_BOOTING) return;
  vm->up = true;
  vm->boot_ms = monotonic_ms() - vm->spawned;
  uint8_t random[64];
  struct timespec now;
  if (getrandom(random, sizeof random, 0) != sizeof random) {
    vm_boot_failed(vm, false, "no randomness for the guest: errno %d", errno);
    return;
  }
  cleanup_free char *text = base64(random, sizeof random);
  explicit_bzero(random, sizeof random);
  json_t *request = json_copy(vm->config.configure);
  json_object_set_new(request, "op", json_string("configure"));
  json_object_set_new(request, "random", json_string(text));
  clock_gettime(CLOCK_REALTIME, &now);
  json_object_set_new(request, "time", json_integer((json_int_t)now.tv_sec * 1000000000 + now.tv_nsec));
  vm_channel_ask(vm, request, configured);
}
