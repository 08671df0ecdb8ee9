/* The main workload of an instance, as far as the host keeps it: log, attached clients, exit record. */
#include <string.h>

#include "util.h"
#include "vm_shim.h"

enum { workloads_max = 64 };
enum state { CREATED, STARTING, RUNNING, PAUSED, EXITED };
static const char *const state_names[] = {"created", "created", "running", "paused", "exited"};

struct vm_workload {
  struct vm_stream_owner owner; /* first */
  struct vm *vm;
  char *id;
  int64_t generation, pid;
  enum state state;
  struct fanout fanout;
  struct mux_stream *stream; /* while it starts and runs */
  struct link *starter;      /* waits for the reply to `start` */
  struct buffer input;       /* bytes that the guest has no room for */
  bool input_ended, open_stdin, stdin_once, terminal;
  char *exit_file;
  int64_t log_lost;
  json_t *exit;
  struct vm_workload *next;
};

static struct vm_workload *find(struct vm *vm, const char *id) {
  for (struct vm_workload *one = vm->workloads; one; one = one->next)
    if (strcmp(one->id, id) == 0) return one;
  return NULL;
}

static void send_input(struct vm_workload *workload) {
  struct mux *mux = workload->vm->mux;
  bool was_full = buffer_length(&workload->input) > 0;
  size_t sent =
      mux_send_data(mux, workload->stream, FRAME_STDIN, buffer_data(&workload->input), buffer_length(&workload->input));
  buffer_consume(&workload->input, sent);
  bool full = buffer_length(&workload->input) > 0;
  if (full || was_full) fanout_input_full(&workload->fanout, full);
  if (!full && workload->input_ended) mux_send(mux, workload->stream, FRAME_STDIN_END, NULL, 0);
  vm_channel_wake(workload->vm);
}

static void on_input(void *context, const void *data, size_t length) {
  struct vm_workload *workload = context;
  if (!workload->stream || workload->input_ended) return;
  buffer_append(&workload->input, data, length);
  send_input(workload);
}

static void on_input_end(void *context) {
  struct vm_workload *workload = context;
  if (!workload->stream || workload->input_ended) return;
  workload->input_ended = true;
  if (buffer_length(&workload->input) > 0) return;
  mux_send(workload->vm->mux, workload->stream, FRAME_STDIN_END, NULL, 0);
  vm_channel_wake(workload->vm);
}

static void send_four(struct vm_workload *workload, uint8_t type, uint32_t value) {
  uint8_t payload[4];
  if (!workload->stream) return;
  store_u32(payload, value);
  mux_send(workload->vm->mux, workload->stream, type, payload, sizeof payload);
  vm_channel_wake(workload->vm);
}

static void on_resize(void *context, uint16_t rows, uint16_t columns) {
  send_four(context, FRAME_RESIZE, rows | (uint32_t)columns << 16);
}

static void on_signal(void *context, int signal) { send_four(context, FRAME_SIGNAL, (uint32_t)signal); }

static const struct fanout_handlers fanout_handlers = {on_input, on_input_end, on_resize, on_signal};

static void reset_fanout(struct vm_workload *workload) {
  fanout_close(&workload->fanout);
  workload->fanout = (struct fanout){.handlers = &fanout_handlers, .context = workload};
}

/* NULL, with the client answered, when there are too many. */
static struct vm_workload *find_or_make(struct vm *vm, struct link *client, const char *id) {
  struct vm_workload *workload = find(vm, id);
  if (workload) return workload;
  int count = 0;
  for (workload = vm->workloads; workload; workload = workload->next) count++;
  if (count >= workloads_max) {
    struct error error;
    error_set(&error, "exhausted", "this VM has %d workloads already", count);
    finish_error(client, &error);
    return NULL;
  }
  workload = xzalloc(sizeof *workload);
  workload->vm = vm;
  workload->id = xstrdup(id);
  workload->next = vm->workloads;
  vm->workloads = workload;
  reset_fanout(workload);
  return workload;
}

static void refuse(struct link *client, const char *code, const char *message, const char *id) {
  struct error error;
  error_set(&error, code, "workload %.12s %s", id, message);
  finish_error(client, &error);
}

void vm_workload_attach(struct vm *vm, struct link *client, const struct request *request) {
  struct vm_workload *workload = find_or_make(vm, client, request->workload);
  if (!workload) return;
  if (workload->state == EXITED)
    refuse(client, "conflict", "has ended", request->workload);
  else
    fanout_attach(&workload->fanout, client, request);
}

static void close_log(struct vm_workload *workload) {
  if (!workload->fanout.log) return;
  log_flush(workload->fanout.log);
  workload->log_lost = log_dropped(workload->fanout.log);
  log_close(workload->fanout.log);
  workload->fanout.log = NULL;
}

static void starter_answered(struct vm_workload *workload, const uint8_t *payload, size_t length) {
  struct link *starter = workload->starter;
  if (!starter) return;
  workload->starter = NULL;
  starter->on_closed = NULL;
  link_send(starter, FRAME_REPLY, payload, length);
  link_finish(starter);
}

static void start_failed(struct vm_workload *workload) {
  workload->state = CREATED;
  workload->stream = NULL;
  close_log(workload);
  reset_fanout(workload);
  buffer_free(&workload->input);
}

static void ended(struct vm_workload *workload, int32_t status, bool out_of_memory, const char *reason) {
  struct vm *vm = workload->vm;
  struct error error;
  workload->state = EXITED;
  workload->stream = NULL;
  buffer_free(&workload->input);
  close_log(workload);
  int code = status >= 0 && status <= 255 ? status : 255;
  json_t *record = exit_record(workload->id, workload->generation, code, out_of_memory, wall_ms());
  if (reason) json_object_set_new(record, "reason", json_string(reason));
  if (exitfile_write(workload->exit_file, record, &error) < 0) complain("%s", error.message);
  workload->exit = record;
  json_t *event = json_pack("{s:s}", "event", "exit");
  json_object_update(event, record);
  vm_emit(vm, event);
  fanout_exit(&workload->fanout, code, out_of_memory);
}

static void on_reply(struct vm_workload *workload, const uint8_t *payload, size_t length) {
  cleanup_json json_t *reply = json_object_parse(payload, length, NULL);
  if (!reply || json_object_get(reply, "error")) {
    mux_close(workload->vm->mux, workload->stream);
    start_failed(workload);
  } else {
    workload->pid = want_int(reply, "pid", 0);
    workload->state = RUNNING;
    fanout_started(&workload->fanout, workload->open_stdin, workload->stdin_once);
  }
  starter_answered(workload, payload, length);
}

static void from_guest(struct vm_stream_owner *owner, uint8_t type, const uint8_t *payload, size_t length) {
  struct vm_workload *workload = (struct vm_workload *)owner;
  static const uint8_t no_start[] =
      "{\"error\":{\"code\":\"internal\",\"message\":\"the guest gave no answer to start\"}}";
  switch (type) {
    case FRAME_REPLY: on_reply(workload, payload, length); break;
    case FRAME_STDOUT:
    case FRAME_STDERR:
      fanout_output(&workload->fanout, type, payload, length);
      mux_consumed(workload->vm->mux, workload->stream, length);
      break;
    case FRAME_EXIT:
    case FRAME_CLOSE:
      if (workload->state == STARTING) {
        starter_answered(workload, no_start, sizeof no_start - 1);
        start_failed(workload);
        break;
      }
      if (type == FRAME_EXIT)
        ended(workload, (int32_t)load_u32(payload), load_u32(payload + 4) & 1, workload->vm->reason);
      else
        ended(workload, 255, false, "the guest closed the workload's stream");
      if (!vm_workload_any_running(workload->vm))
        vm_close(workload->vm, "the last workload has ended", workload->vm->config.poweroff_timeout);
      break;
    default: break;
  }
}

static void guest_writable(struct vm_stream_owner *owner) {
  struct vm_workload *workload = (struct vm_workload *)owner;
  if (buffer_length(&workload->input) > 0) send_input(workload);
}

static void starter_closed(struct link *client) {
  struct vm_workload *workload = client->owner;
  workload->starter = NULL;
}

/* What the shim needs of the specification; log and exit file are none of the guest's business. */
static int take_spec(struct vm_workload *workload, json_t *spec, struct error *error) {
  json_t *log, *oci, *process;
  const char *path, *exit_file;
  int64_t size, files;
  if (need_object(spec, "log", &log, error) < 0 || need_string(log, "path", &path, error) < 0 ||
      need_int(log, "maxSize", 0, INT64_MAX, &size, error) < 0 ||
      need_int(log, "maxFiles", 1, 1000, &files, error) < 0 ||
      need_string(spec, "exitFile", &exit_file, error) < 0 ||
      need_int(spec, "generation", 0, INT64_MAX, &workload->generation, error) < 0 ||
      need_object(spec, "oci", &oci, error) < 0 || need_object(oci, "process", &process, error) < 0)
    return -1;
  workload->fanout.log = log_open(path, size, (int)files, error);
  if (!workload->fanout.log) return -1;
  free(workload->exit_file);
  workload->exit_file = xstrdup(exit_file);
  workload->open_stdin = want_bool(spec, "openStdin", false);
  workload->stdin_once = want_bool(spec, "stdinOnce", false);
  workload->input_ended = false;
  workload->terminal = want_bool(process, "terminal", false);
  json_object_del(spec, "log");
  json_object_del(spec, "exitFile");
  return 0;
}

void vm_workload_start(struct vm *vm, struct link *client, const struct request *request) {
  struct error error;
  struct vm_workload *workload = find_or_make(vm, client, request->workload);
  if (!workload) return;
  if (workload->state != CREATED) {
    refuse(client, "conflict", workload->state == EXITED ? "has ended" : "runs already", request->workload);
    return;
  }
  if (take_spec(workload, request->spec, &error) < 0) {
    finish_error(client, &error);
    return;
  }
  cleanup_free char *text = json_dumps(request->body, JSON_COMPACT);
  workload->stream = text && strlen(text) <= FRAME_LIMIT ? mux_open(vm->mux, workload) : NULL;
  if (!workload->stream) {
    start_failed(workload);
    refuse(client, "exhausted", "cannot be sent to the guest: too many streams, or its specification is over 1 MiB",
           request->workload);
    return;
  }
  workload->owner = (struct vm_stream_owner){from_guest, guest_writable};
  workload->state = STARTING;
  workload->starter = client;
  client->owner = workload;
  client->on_closed = starter_closed;
  mux_send(vm->mux, workload->stream, FRAME_REQUEST, text, strlen(text));
  vm_channel_wake(vm);
}

bool vm_workload_resize_early(struct vm *vm, const struct request *request) {
  struct vm_workload *workload = find(vm, request->workload);
  if (request->exec || !workload || workload->state > STARTING) return false;
  fanout_resize(&workload->fanout, request->rows, request->columns);
  return true;
}

void vm_workload_paused(struct vm *vm, const char *id, bool paused) {
  struct vm_workload *workload = find(vm, id);
  if (workload && (workload->state == RUNNING || workload->state == PAUSED)) workload->state = paused ? PAUSED : RUNNING;
}

bool vm_workload_known(struct vm *vm, const char *id) { return find(vm, id) != NULL; }

bool vm_workload_any_running(struct vm *vm) {
  for (struct vm_workload *one = vm->workloads; one; one = one->next)
    if (one->state == STARTING || one->state == RUNNING || one->state == PAUSED) return true;
  return false;
}

json_t *vm_workloads_state(struct vm *vm) {
  json_t *list = json_array();
  for (struct vm_workload *one = vm->workloads; one; one = one->next) {
    int64_t lost = one->fanout.log ? log_dropped(one->fanout.log) : one->log_lost;
    json_t *state = json_pack("{s:s, s:I, s:s, s:I}", "id", one->id, "generation", (json_int_t)one->generation, "state",
                              state_names[one->state], "logDropped", (json_int_t)lost);
    if (one->pid > 0) json_object_set_new(state, "pid", json_integer(one->pid));
    if (one->exit) json_object_set(state, "exit", one->exit);
    json_array_append_new(list, state);
  }
  return list;
}

void vm_workloads_end(struct vm *vm) {
  static const uint8_t gone[] =
      "{\"error\":{\"code\":\"unavailable\",\"message\":\"the VM has ended before the workload ran\"}}";
  for (struct vm_workload *one = vm->workloads; one; one = one->next) {
    if (one->state == STARTING) {
      starter_answered(one, gone, sizeof gone - 1);
      start_failed(one);
    } else if (one->state == RUNNING || one->state == PAUSED) {
      ended(one, 137, false, vm->reason);
    } else {
      fanout_close(&one->fanout);
    }
  }
}

void vm_workloads_free(struct vm *vm) {
  while (vm->workloads) {
    struct vm_workload *one = vm->workloads;
    vm->workloads = one->next;
    fanout_close(&one->fanout);
    buffer_free(&one->input);
    json_decref(one->exit);
    free(one->exit_file);
    free(one->id);
    free(one);
  }
}
