/* The verbs of the host socket: what the shim knows it answers, all else the guest does. */
#include "modes.h"
#include "util.h"
#include "vm_shim.h"

enum { listener_lag = 1 << 20 };

struct vm_listener {
  struct vm *vm;
  struct link *link;
  struct vm_listener *next;
};

static void forget(struct vm_listener *listener) {
  for (struct vm_listener **place = &listener->vm->listeners; *place; place = &(*place)->next)
    if (*place == listener) {
      *place = listener->next;
      break;
    }
  listener->link->owner = NULL;
  listener->link->on_closed = NULL;
  free(listener);
}

static void listener_closed(struct link *link) { forget(link->owner); }

void vm_emit(struct vm *vm, json_t *event) {
  for (struct vm_listener *one = vm->listeners, *next; one; one = next) {
    next = one->next;
    struct link *link = one->link;
    if (link_queued(link) <= listener_lag) {
      link_send_json(link, FRAME_EVENT, json_incref(event));
      continue;
    }
    forget(one);
    link_finish(link);
  }
  json_decref(event);
}

void vm_listeners_end(struct vm *vm) {
  while (vm->listeners) {
    struct link *link = vm->listeners->link;
    forget(vm->listeners);
    link_finish(link);
  }
}

static struct vm *of(struct wall *wall) { return (struct vm *)wall; }

static void hello(struct wall *wall, struct link *link, const struct request *request) {
  struct vm *vm = of(wall);
  (void)request;
  finish_ok(link, json_pack("{s:s, s:s, s:i, s:o, s:s, s:I}", "version", GANTRY_VERSION, "isolation", "vm", "pid",
                            (int)getpid(), "workloads", vm_workloads_state(vm), "accelerator", vm->config.accelerator,
                            "bootMs", (json_int_t)vm->boot_ms));
}

static void events(struct wall *wall, struct link *link, const struct request *request) {
  struct vm *vm = of(wall);
  (void)request;
  struct vm_listener *listener = xzalloc(sizeof *listener);
  *listener = (struct vm_listener){.vm = vm, .link = link, .next = vm->listeners};
  vm->listeners = listener;
  link->owner = listener;
  link->on_closed = listener_closed;
  reply_ok(link, NULL);
}

/* False, with the client answered, when the VM is on its way out. */
static bool open_for(struct vm *vm, struct link *link) {
  if (vm->phase == VM_OPEN) return true;
  struct error error;
  error_set(&error, "unavailable", "the VM is ending: %s", vm->reason ? vm->reason : "no reason known");
  finish_error(link, &error);
  return false;
}

static void start(struct wall *wall, struct link *link, const struct request *request) {
  if (open_for(of(wall), link)) vm_workload_start(of(wall), link, request);
}

static void attach(struct wall *wall, struct link *link, const struct request *request) {
  if (open_for(of(wall), link)) vm_workload_attach(of(wall), link, request);
}

static void relay(struct wall *wall, struct link *link, const struct request *request) {
  if (open_for(of(wall), link)) vm_relay(of(wall), link, request, NULL);
}

static void resize(struct wall *wall, struct link *link, const struct request *request) {
  if (!open_for(of(wall), link)) return;
  if (vm_workload_resize_early(of(wall), request))
    finish_ok(link, NULL);
  else
    vm_relay(of(wall), link, request, NULL);
}

static void was_paused(struct vm *vm, const char *workload, const json_t *reply) {
  if (!json_object_get(reply, "error")) vm_workload_paused(vm, workload, true);
}

static void was_resumed(struct vm *vm, const char *workload, const json_t *reply) {
  if (!json_object_get(reply, "error")) vm_workload_paused(vm, workload, false);
}

static void pause_(struct wall *wall, struct link *link, const struct request *request) {
  if (open_for(of(wall), link)) vm_relay(of(wall), link, request, was_paused);
}

static void resume(struct wall *wall, struct link *link, const struct request *request) {
  if (open_for(of(wall), link)) vm_relay(of(wall), link, request, was_resumed);
}

static void shutdown_(struct wall *wall, struct link *link, const struct request *request) {
  finish_ok(link, NULL);
  vm_close(of(wall), "the engine asked for it", request->timeout);
}

void vm_wall_init(struct vm *vm) {
  vm->wall = (struct wall){
      .hello = hello,
      .events = events,
      .start = start,
      .attach = attach,
      .exec = relay,
      .signal = relay,
      .resize = resize,
      .pause = pause_,
      .resume = resume,
      .stats = relay,
      .stat = relay,
      .archive_read = relay,
      .archive_write = relay,
      .shutdown = shutdown_,
  };
}
