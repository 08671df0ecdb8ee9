#include "vm_console.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

static void keep(struct vm_console *console, const char *data, size_t length) {
  if (!console->ring) console->ring = xmalloc(VM_CONSOLE_SIZE);
  while (length > 0) {
    size_t n = VM_CONSOLE_SIZE - console->next;
    if (n > length) n = length;
    memcpy(console->ring + console->next, data, n);
    console->next = (console->next + n) % VM_CONSOLE_SIZE;
    console->length = console->length + n < VM_CONSOLE_SIZE ? console->length + n : VM_CONSOLE_SIZE;
    data += n;
    length -= n;
  }
}

/* One read, so that a guest that prints for ever leaves the loop to others. False at the end. */
static bool take(struct vm_console *console) {
  char data[16 << 10];
  ssize_t n = read(console->fd, data, sizeof data);
  if (n > 0) keep(console, data, (size_t)n);
  return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void end(struct vm_console *console) {
  loop_unwatch(console->loop, &console->watch);
  close(console->fd);
  console->fd = -1;
}

static void on_ready(void *context, uint32_t events) {
  (void)events;
  struct vm_console *console = context;
  if (!take(console)) end(console);
}

void vm_console_start(struct vm_console *console, struct loop *loop, int fd) {
  console->loop = loop;
  console->fd = fd;
  set_nonblocking(fd);
  loop_watch(loop, &console->watch, fd, EPOLLIN, on_ready, console);
}

void vm_console_stop(struct vm_console *console) {
  if (!console->loop || console->fd < 0) return;
  for (int i = 0; i < VM_CONSOLE_SIZE / (16 << 10); i++) {
    errno = 0;
    if (!take(console) || errno == EAGAIN) break;
  }
  end(console);
}

void vm_console_free(struct vm_console *console) {
  vm_console_stop(console);
  free(console->ring);
  console->ring = NULL;
}

/* The text in order, every control character but the newline a blank. */
static char *text_of(const struct vm_console *console) {
  char *text = xmalloc(console->length + 1);
  size_t start = (console->next + VM_CONSOLE_SIZE - console->length) % VM_CONSOLE_SIZE;
  for (size_t i = 0; i < console->length; i++) {
    char c = console->ring[(start + i) % VM_CONSOLE_SIZE];
    text[i] = (c >= ' ' && c < 127) || c == '\n' ? c : ' ';
  }
  text[console->length] = 0;
  return text;
}

char *vm_console_tail(const struct vm_console *console, int lines) {
  cleanup_free char *text = text_of(console);
  /* What follows a panic is its trace, which tells a user nothing. */
  char *panic = strstr(text, "Kernel panic"), *start = panic ? panic : text + strlen(text);
  if (panic) panic[strcspn(panic, "\n")] = 0;
  for (int found = 0; start > text && !panic; start--)
    if (start[-1] == '\n' && start[0] != '\n' && start[0] != 0 && ++found >= lines) break;
  char *tail = xmalloc(strlen(start) * 3 + 1), *out = tail, *rest = NULL;
  *out = 0;
  for (char *line = strtok_r(start, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
    size_t length = strlen(line);
    while (length > 0 && line[length - 1] == ' ') length--;
    if (length == 0) continue;
    out += sprintf(out, "%s%.*s", out == tail ? "" : " / ", (int)length, line);
  }
  return tail;
}

void vm_console_dump(const struct vm_console *console, const char *prefix) {
  cleanup_free char *text = text_of(console);
  char *rest = NULL;
  for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
    complain("%s: %.1000s", prefix, line);
}
