/* The agent channel: frames of the guest go to whoever its stream belongs to. */
#include <string.h>

#include "util.h"
#include "vm_shim.h"

static void on_event(struct vm *vm, const json_t *event) {
  const char *name = want_string(event, "event", "");
  if (strcmp(name, "up") == 0) {
    vm_boot_up(vm);
  } else if (strcmp(name, "oom") == 0) {
    const char *workload = want_string(event, "workload", "");
    if (vm_workload_known(vm, workload)) vm_emit(vm, json_pack("{s:s, s:s}", "event", "oom", "workload", workload));
  }
}

static int on_control(struct vm *vm, uint8_t type, const uint8_t *payload, size_t length, const char **why) {
  struct error error;
  cleanup_json json_t *body = json_object_parse(payload, length, &error);
  if (!body) {
    *why = "a message is not JSON";
    return -1;
  }
  if (type == FRAME_EVENT) {
    on_event(vm, body);
  } else if (vm->answered) {
    void (*answered)(struct vm *, const json_t *) = vm->answered;
    vm->answered = NULL;
    answered(vm, body);
  }
  return 0;
}

static int on_frame(void *context, struct mux_stream *stream, uint8_t type, const uint8_t *payload, size_t length,
                    const char **why) {
  struct vm *vm = context;
  if (!stream) return on_control(vm, type, payload, length, why);
  struct vm_stream_owner *owner = mux_user(stream);
  owner->frame(owner, type, payload, length);
  return 0;
}

static void on_writable(void *context, struct mux_stream *stream) {
  (void)context;
  struct vm_stream_owner *owner = mux_user(stream);
  owner->writable(owner);
}

/* The guest speaks nonsense (`broken`), or QEMU has closed the channel: then its death is about to be reported. */
static void lost(struct vm *vm, bool broken) {
  loop_unwatch(vm->loop, &vm->agent_watch);
  if (!broken) return;
  if (vm->phase == VM_BOOTING)
    vm_boot_failed(vm, true, "the guest's channel ended: %s", mux_why(vm->mux));
  else
    vm_close(vm, mux_why(vm->mux), 1000);
}

static void on_ready(void *context, uint32_t events) {
  struct vm *vm = context;
  int result = 1;
  if (events & EPOLLOUT) result = mux_write(vm->mux);
  if (result == 1 && (events & ~(uint32_t)EPOLLOUT)) result = mux_read(vm->mux);
  if (result == 1 && mux_wants_write(vm->mux)) result = mux_write(vm->mux);
  if (result != 1)
    lost(vm, result < 0);
  else
    vm_channel_wake(vm);
}

void vm_channel_open(struct vm *vm, int fd) {
  struct mux_handler handler = {on_frame, on_writable, vm};
  set_nonblocking(fd);
  vm->agent = fd;
  vm->mux = mux_new(fd, MUX_HOST, &handler);
  loop_watch(vm->loop, &vm->agent_watch, fd, EPOLLIN, on_ready, vm);
}

void vm_channel_close(struct vm *vm) {
  if (!vm->mux) return;
  loop_unwatch(vm->loop, &vm->agent_watch);
  mux_free(vm->mux);
  close(vm->agent);
  vm->mux = NULL;
  vm->answered = NULL;
}

void vm_channel_wake(struct vm *vm) {
  if (vm->mux) loop_rewatch(vm->loop, &vm->agent_watch, EPOLLIN | (mux_wants_write(vm->mux) ? EPOLLOUT : 0));
}

void vm_channel_ask(struct vm *vm, json_t *request, void (*answered)(struct vm *vm, const json_t *reply)) {
  cleanup_json json_t *owned = request;
  cleanup_free char *text = json_dumps(owned, JSON_COMPACT);
  if (!text || !vm->mux) return;
  vm->answered = answered;
  mux_send(vm->mux, NULL, FRAME_REQUEST, text, strlen(text));
  vm_channel_wake(vm);
}
