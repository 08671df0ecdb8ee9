/* The end: poweroff, QEMU's death, and nothing left. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "util.h"
#include "vm_shim.h"

enum { drain_patience = 2000, quit_patience = 1000 };

void vm_because(struct vm *vm, const char *format, ...) {
  va_list arguments;
  if (vm->reason) return;
  va_start(arguments, format);
  if (vasprintf(&vm->reason, format, arguments) < 0) vm->reason = NULL;
  va_end(arguments);
}

void vm_kill(struct vm *vm) {
  if (vm->qemu > 0) kill(vm->qemu, SIGKILL);
}

static void kill_now(void *context) {
  struct vm *vm = context;
  complain("QEMU did not quit: it is killed");
  vm_kill(vm);
}

static void out_of_time(void *context) {
  struct vm *vm = context;
  complain("the guest did not power off in time");
  vm_qmp_quit(&vm->qmp);
  loop_timer(vm->loop, &vm->halt, quit_patience, kill_now, vm);
}

/* The guest's disks are synced and unmounted: what it would do now only takes time. */
static void powered_off(struct vm *vm, const json_t *reply) {
  const json_t *failure = json_object_get(reply, "error");
  if (failure)
    complain("poweroff: %.300s", want_string(failure, "message", "no reason given"));
  else
    vm_kill(vm);
}

void vm_close(struct vm *vm, const char *reason, int64_t timeout) {
  if (timeout < 1) timeout = 1;
  if (vm->phase == VM_CLOSING) {
    if (vm->halt.due == 0 || vm->halt.due > monotonic_ms() + timeout)
      loop_timer(vm->loop, &vm->halt, timeout, out_of_time, vm);
    return;
  }
  if (vm->phase != VM_OPEN) return;
  vm->phase = VM_CLOSING;
  vm_because(vm, "%s", reason);
  if (vm->config.throwaway) {
    vm_kill(vm);
    return;
  }
  loop_timer(vm->loop, &vm->halt, timeout, out_of_time, vm);
  /* What processes get after SIGKILL; the rest of the time is for the disks. */
  int64_t patience = timeout / 2 < 2000 ? timeout / 2 : 2000;
  vm_channel_ask(vm, json_pack("{s:s, s:I}", "op", "poweroff", "timeout", (json_int_t)patience), powered_off);
}

static void gone(void *context) {
  struct vm *vm = context;
  loop_stop(vm->loop);
}

void vm_qemu_died(void *context, int status) {
  struct vm *vm = context;
  vm->qemu = 0;
  if (vm->phase == VM_BOOTING) {
    vm_boot_ended(vm, status);
    return;
  }
  bool expected = vm->phase == VM_CLOSING;
  vm->phase = VM_GONE;
  loop_timer_cancel(vm->loop, &vm->halt);
  /* Frames that the guest sent before its end still count. */
  if (vm->mux) (void)mux_read(vm->mux);
  vm_qmp_stop(&vm->qmp);
  vm_console_stop(&vm->console);
  vm_console_stop(&vm->messages);
  if (!expected) {
    if (vm->qmp.shutdown_reason[0])
      vm_because(vm, "the guest shut down by itself (%s)", vm->qmp.shutdown_reason);
    else if (WIFSIGNALED(status))
      vm_because(vm, "QEMU was killed by signal %d", WTERMSIG(status));
    else
      vm_because(vm, "QEMU ended with status %d", exit_code_of(status));
    complain("%s", vm->reason);
    vm_console_dump(&vm->messages, "qemu");
    vm_console_dump(&vm->console, "console");
  }
  vm_relays_end(vm);
  vm_workloads_end(vm);
  vm_channel_close(vm);
  vm_clean(vm);
  vm_emit(vm, json_pack("{s:s, s:s}", "event", "closing", "reason", vm->reason));
  vm_listeners_end(vm);
  server_close(vm->server, drain_patience, gone, vm);
}

static void end_child(struct vm *vm, pid_t *pid, struct child *child) {
  if (*pid <= 0) return;
  loop_child_cancel(vm->loop, child);
  kill(*pid, SIGKILL);
  while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR) continue;
  *pid = 0;
}

void vm_clean(struct vm *vm) {
  static const char *const folders[] = {"root", "shares"};
  end_child(vm, &vm->qemu, &vm->qemu_child);
  end_child(vm, &vm->virtiofsd, &vm->virtiofsd_child);
  vm_cgroup_remove(&vm->cgroup);
  for (size_t i = 0; i < countof(folders); i++) {
    cleanup_free char *path = xprintf("%s/%s", vm->config.folder, folders[i]);
    umount2(path, MNT_DETACH); /* the tree of shares, in our own namespace; else nothing */
    rmdir(path);
  }
}
