#include "session.h"

#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

void link_send_json(struct link *link, uint8_t type, json_t *value) {
  cleanup_json json_t *owned = value ? value : json_object();
  cleanup_free char *text = json_dumps(owned, JSON_COMPACT);
  size_t length = text ? strlen(text) : 0;
  if (!text || length > FRAME_LIMIT) {
    static const char sorry[] = "{\"error\":{\"code\":\"internal\",\"message\":\"the answer does not fit a frame\"}}";
    link_send(link, type, sorry, sizeof sorry - 1);
    return;
  }
  link_send(link, type, text, length);
}

void reply_ok(struct link *link, json_t *value) { link_send_json(link, FRAME_REPLY, value); }
void reply_error(struct link *link, const struct error *error) {
  link_send_json(link, FRAME_REPLY, error_to_json(error));
}
void finish_ok(struct link *link, json_t *value) {
  reply_ok(link, value);
  link_finish(link);
}
void finish_error(struct link *link, const struct error *error) {
  reply_error(link, error);
  link_finish(link);
}
void finish_exit(struct link *link, int32_t status, bool out_of_memory) {
  uint8_t payload[8];
  store_u32(payload, (uint32_t)status);
  store_u32(payload + 4, out_of_memory ? 1 : 0);
  link_send(link, FRAME_EXIT, payload, sizeof payload);
  link_finish(link);
}

typedef void verb(struct wall *, struct link *, const struct request *);

enum needs {
  NEEDS_WORKLOAD = 1,
  NEEDS_EXEC = 2,
  NEEDS_SIGNAL = 4,
  NEEDS_SIZE = 8,
  NEEDS_PATH = 16,
  NEEDS_WORKLOAD_SPEC = 32,
  NEEDS_EXEC_SPEC = 64,
};

static const struct {
  const char *op;
  size_t verb;
  unsigned needs;
} table[] = {
    {"hello", offsetof(struct wall, hello), 0},
    {"events", offsetof(struct wall, events), 0},
    {"start", offsetof(struct wall, start), NEEDS_WORKLOAD_SPEC},
    {"attach", offsetof(struct wall, attach), NEEDS_WORKLOAD},
    {"exec", offsetof(struct wall, exec), NEEDS_WORKLOAD | NEEDS_EXEC | NEEDS_EXEC_SPEC},
    {"signal", offsetof(struct wall, signal), NEEDS_WORKLOAD | NEEDS_SIGNAL},
    {"resize", offsetof(struct wall, resize), NEEDS_WORKLOAD | NEEDS_SIZE},
    {"pause", offsetof(struct wall, pause), NEEDS_WORKLOAD},
    {"resume", offsetof(struct wall, resume), NEEDS_WORKLOAD},
    {"stats", offsetof(struct wall, stats), NEEDS_WORKLOAD},
    {"stat", offsetof(struct wall, stat), NEEDS_WORKLOAD | NEEDS_PATH},
    {"archive-read", offsetof(struct wall, archive_read), NEEDS_WORKLOAD | NEEDS_PATH},
    {"archive-write", offsetof(struct wall, archive_write), NEEDS_WORKLOAD | NEEDS_PATH},
    {"shutdown", offsetof(struct wall, shutdown), 0},
    {"configure", offsetof(struct wall, configure), 0},
    {"mount-rootfs", offsetof(struct wall, mount_rootfs), NEEDS_WORKLOAD},
    {"poweroff", offsetof(struct wall, poweroff), 0},
};

static int parse(struct request *request, unsigned needs, struct error *error) {
  const json_t *body = request->body;
  int64_t number;
  if (needs & NEEDS_WORKLOAD_SPEC) {
    if (need_object(body, "workload", &request->spec, error) < 0) return -1;
    if (need_string(request->spec, "id", &request->workload, error) < 0) return -1;
  }
  if ((needs & NEEDS_WORKLOAD) && need_string(body, "workload", &request->workload, error) < 0) return -1;
  request->exec = want_string(body, "exec", NULL);
  if ((needs & NEEDS_EXEC) && need_string(body, "exec", &request->exec, error) < 0) return -1;
  if ((needs & NEEDS_EXEC_SPEC) && need_object(body, "spec", &request->spec, error) < 0) return -1;
  if ((needs & NEEDS_PATH) && need_string(body, "path", &request->path, error) < 0) return -1;
  if (needs & NEEDS_SIGNAL) {
    if (need_int(body, "signal", 1, SIGRTMAX, &number, error) < 0) return -1;
    request->signal = (int)number;
  }
  if (needs & NEEDS_SIZE) {
    if (need_int(body, "rows", 0, UINT16_MAX, &number, error) < 0) return -1;
    request->rows = (uint16_t)number;
    if (need_int(body, "columns", 0, UINT16_MAX, &number, error) < 0) return -1;
    request->columns = (uint16_t)number;
  }
  request->timeout = want_int(body, "timeout", 10000);
  request->stdin_wanted = want_bool(body, "stdin", false);
  request->stdout_wanted = want_bool(body, "stdout", false);
  request->stderr_wanted = want_bool(body, "stderr", false);
  return 0;
}

void dispatch(struct wall *wall, struct link *link, const struct frame *first) {
  struct error error = {0};
  if (first->type != FRAME_REQUEST) {
    error_set(&error, "invalid", "the first frame must be a request, not type %u", first->type);
    finish_error(link, &error);
    return;
  }
  cleanup_json json_t *body = json_object_parse(first->payload, first->length, &error);
  struct request request = {.body = body};
  if (!body || need_string(body, "op", &request.op, &error) < 0) {
    finish_error(link, &error);
    return;
  }
  for (size_t i = 0; i < countof(table); i++) {
    if (strcmp(table[i].op, request.op) != 0) continue;
    verb *call = *(verb **)((char *)wall + table[i].verb);
    if (!call) break;
    if (parse(&request, table[i].needs, &error) < 0)
      finish_error(link, &error);
    else
      call(wall, link, &request);
    return;
  }
  error_set(&error, "unsupported", "this supervisor has no operation \"%.40s\"", request.op);
  finish_error(link, &error);
}
