#include "vm_qmp.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "json.h"
#include "util.h"

enum { line_limit = 256 << 10 };

static void say(struct vm_qmp *qmp, const char *text) {
  /* A few dozen bytes into an empty socket buffer: it takes them whole or QEMU is gone. */
  if (qmp->fd >= 0) (void)!send(qmp->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void on_line(struct vm_qmp *qmp, const char *line, size_t length) {
  cleanup_json json_t *message = json_loadb(line, length, 0, NULL);
  if (!json_is_object(message)) return;
  if (json_object_get(message, "QMP")) {
    say(qmp, "{\"execute\":\"qmp_capabilities\"}\n");
    return;
  }
  const char *event = want_string(message, "event", "");
  if (strcmp(event, "SHUTDOWN") == 0)
    snprintf(qmp->shutdown_reason, sizeof qmp->shutdown_reason, "%s",
             want_string(json_object_get(message, "data"), "reason", "unknown"));
  if (strcmp(event, "GUEST_PANICKED") == 0) snprintf(qmp->shutdown_reason, sizeof qmp->shutdown_reason, "guest-panic");
  const json_t *failure = json_object_get(message, "error");
  if (failure) complain("QMP: %.200s", want_string(failure, "desc", "error"));
}

/* False: the channel is over. */
static bool take(struct vm_qmp *qmp) {
  ssize_t n = read(qmp->fd, buffer_reserve(&qmp->line, 4096), 4096);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (n <= 0) return false;
  buffer_added(&qmp->line, (size_t)n);
  for (;;) {
    char *data = buffer_data(&qmp->line), *end = memchr(data, '\n', buffer_length(&qmp->line));
    if (!end) return buffer_length(&qmp->line) <= line_limit;
    size_t length = (size_t)(end - data);
    on_line(qmp, data, length);
    buffer_consume(&qmp->line, length + 1);
    if (buffer_length(&qmp->line) == 0) return true;
  }
}

static void on_ready(void *context, uint32_t events) {
  (void)events;
  struct vm_qmp *qmp = context;
  if (!take(qmp)) vm_qmp_stop(qmp);
}

void vm_qmp_start(struct vm_qmp *qmp, struct loop *loop, int fd) {
  *qmp = (struct vm_qmp){.loop = loop, .fd = fd};
  set_nonblocking(fd);
  loop_watch(loop, &qmp->watch, fd, EPOLLIN, on_ready, qmp);
}

void vm_qmp_quit(struct vm_qmp *qmp) { say(qmp, "{\"execute\":\"quit\"}\n"); }

void vm_qmp_stop(struct vm_qmp *qmp) {
  if (!qmp->loop || qmp->fd < 0) return;
  loop_unwatch(qmp->loop, &qmp->watch);
  close(qmp->fd);
  qmp->fd = -1;
  buffer_free(&qmp->line);
}
