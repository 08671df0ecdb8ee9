/* Conversations that the guest answers: one stream of the channel for one connection of the host socket. */
#include <string.h>

#include "util.h"
#include "vm_shim.h"

struct vm_relay {
  struct vm_stream_owner owner; /* first */
  struct vm *vm;
  struct link *client;
  struct mux_stream *stream;
  struct buffer input; /* the client's bytes that the guest has no room for */
  size_t held;         /* the guest's bytes that the client has no room for; their credit waits */
  bool input_ended, replied, session;
  char *workload;
  void (*on_reply)(struct vm *vm, const char *workload, const json_t *reply);
  struct vm_relay *next;
};

static void forget(struct vm_relay *relay) {
  for (struct vm_relay **place = &relay->vm->relays; *place; place = &(*place)->next)
    if (*place == relay) {
      *place = relay->next;
      break;
    }
  buffer_free(&relay->input);
  free(relay->workload);
  free(relay);
}

static void let_go(struct link *client) {
  client->owner = NULL;
  client->on_frame = NULL;
  client->on_writable = NULL;
  client->on_closed = NULL;
}

static void on_reply(struct vm_relay *relay, const uint8_t *payload, size_t length) {
  relay->replied = true;
  if (relay->on_reply) {
    cleanup_json json_t *reply = json_object_parse(payload, length, NULL);
    if (reply) relay->on_reply(relay->vm, relay->workload, reply);
  }
  link_send(relay->client, FRAME_REPLY, payload, length);
}

static void no_answer(struct link *client, const char *message) {
  struct error error;
  error_set(&error, "unavailable", "%s", message);
  finish_error(client, &error);
}

static void from_guest(struct vm_stream_owner *owner, uint8_t type, const uint8_t *payload, size_t length) {
  struct vm_relay *relay = (struct vm_relay *)owner;
  struct link *client = relay->client;
  switch (type) {
    case FRAME_REPLY: on_reply(relay, payload, length); break;
    case FRAME_STDOUT:
    case FRAME_STDERR:
      link_send(client, type, payload, length);
      relay->held += length;
      if (link_room(client) == 0) break;
      mux_consumed(relay->vm->mux, relay->stream, relay->held);
      relay->held = 0;
      break;
    case FRAME_EXIT:
    case FRAME_CLOSE: {
      bool replied = relay->replied;
      let_go(client);
      forget(relay);
      if (type == FRAME_EXIT) link_send(client, FRAME_EXIT, payload, length);
      if (replied)
        link_finish(client);
      else
        no_answer(client, "the guest gave no answer");
      break;
    }
    default: break;
  }
}

static void send_input(struct vm_relay *relay) {
  struct mux *mux = relay->vm->mux;
  size_t sent = mux_send_data(mux, relay->stream, FRAME_STDIN, buffer_data(&relay->input), buffer_length(&relay->input));
  buffer_consume(&relay->input, sent);
  link_pause(relay->client, buffer_length(&relay->input) > 0);
  if (buffer_length(&relay->input) == 0 && relay->input_ended) mux_send(mux, relay->stream, FRAME_STDIN_END, NULL, 0);
}

static void guest_writable(struct vm_stream_owner *owner) {
  struct vm_relay *relay = (struct vm_relay *)owner;
  if (buffer_length(&relay->input) > 0) send_input(relay);
}

static void from_client(struct link *client, const struct frame *frame) {
  struct vm_relay *relay = client->owner;
  struct mux *mux = relay->vm->mux;
  switch (frame->type) {
    case FRAME_STDIN:
      if (relay->input_ended) break;
      buffer_append(&relay->input, frame->payload, frame->length);
      send_input(relay);
      break;
    case FRAME_STDIN_END:
      if (relay->input_ended) break;
      relay->input_ended = true;
      if (buffer_length(&relay->input) == 0) mux_send(mux, relay->stream, FRAME_STDIN_END, NULL, 0);
      break;
    case FRAME_RESIZE:
    case FRAME_SIGNAL:
      if (frame->length == 4) mux_send(mux, relay->stream, frame->type, frame->payload, frame->length);
      break;
    default: break;
  }
  vm_channel_wake(relay->vm);
}

static void client_writable(struct link *client) {
  struct vm_relay *relay = client->owner;
  if (relay->held == 0) return;
  mux_consumed(relay->vm->mux, relay->stream, relay->held);
  relay->held = 0;
  vm_channel_wake(relay->vm);
}

static void client_closed(struct link *client) {
  struct vm_relay *relay = client->owner;
  struct vm *vm = relay->vm;
  mux_close(vm->mux, relay->stream);
  forget(relay);
  vm_channel_wake(vm);
}

void vm_relay(struct vm *vm, struct link *client, const struct request *request,
              void (*replied)(struct vm *vm, const char *workload, const json_t *reply)) {
  cleanup_free char *text = json_dumps(request->body, JSON_COMPACT);
  struct mux_stream *stream = text && vm->phase == VM_OPEN ? mux_open(vm->mux, NULL) : NULL;
  if (!stream) {
    no_answer(client, vm->phase == VM_OPEN ? "too many conversations with the guest are open" : "the VM is ending");
    return;
  }
  struct vm_relay *relay = xzalloc(sizeof *relay);
  *relay = (struct vm_relay){
      .owner = {from_guest, guest_writable},
      .vm = vm,
      .client = client,
      .stream = stream,
      .session = strcmp(request->op, "exec") == 0,
      .workload = request->workload ? xstrdup(request->workload) : NULL,
      .on_reply = replied,
      .next = vm->relays,
  };
  vm->relays = relay;
  mux_set_user(stream, relay);
  client->owner = relay;
  client->on_frame = from_client;
  client->on_writable = client_writable;
  client->on_closed = client_closed;
  mux_send(vm->mux, stream, FRAME_REQUEST, text, strlen(text));
  vm_channel_wake(vm);
}

void vm_relays_end(struct vm *vm) {
  while (vm->relays) {
    struct vm_relay *relay = vm->relays;
    struct link *client = relay->client;
    bool replied = relay->replied, session = relay->session;
    let_go(client);
    forget(relay);
    if (!replied)
      no_answer(client, "the VM has ended");
    else if (session)
      finish_exit(client, 137, false);
    else
      link_finish(client);
  }
}
