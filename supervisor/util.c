#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { complaint_limit = 1 << 20 };

static void *checked(void *pointer) {
  if (pointer) return pointer;
  static const char text[] = "gantry-supervisor: out of memory\n";
  (void)!write(2, text, sizeof text - 1);
  abort();
}

void *xmalloc(size_t size) { return checked(malloc(size ? size : 1)); }
void *xzalloc(size_t size) { return checked(calloc(1, size ? size : 1)); }
void *xrealloc(void *pointer, size_t size) { return checked(realloc(pointer, size ? size : 1)); }
char *xstrdup(const char *text) { return checked(strdup(text)); }

char *xprintf(const char *format, ...) {
  char *text = NULL;
  va_list arguments;
  va_start(arguments, format);
  if (vasprintf(&text, format, arguments) < 0) text = NULL;
  va_end(arguments);
  return checked(text);
}

int write_all(int fd, const void *data, size_t length) {
  const char *next = data;
  while (length > 0) {
    ssize_t written = write(fd, next, length);
    if (written < 0) {
      if (errno == EINTR) continue;
      return -1;
    }
    next += written;
    length -= (size_t)written;
  }
  return 0;
}

char *read_all(int fd, size_t limit, size_t *length, struct error *error) {
  size_t size = 0, capacity = 4096;
  cleanup_free char *data = xmalloc(capacity + 1);
  for (;;) {
    ssize_t got = read(fd, data + size, capacity - size);
    if (got < 0) {
      if (errno == EINTR) continue;
      error_errno(error, "read");
      return NULL;
    }
    if (got == 0) break;
    size += (size_t)got;
    if (size > limit) {
      error_set(error, "exhausted", "input is larger than %zu bytes", limit);
      return NULL;
    }
    if (size == capacity) data = xrealloc(data, (capacity *= 2) + 1);
  }
  data[size] = 0;
  if (length) *length = size;
  char *result = data;
  data = NULL;
  return result;
}

char *read_path(const char *path, size_t limit, size_t *length, struct error *error) {
  cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    error_errno(error, "open %s", path);
    return NULL;
  }
  return read_all(fd, limit, length, error);
}

int write_path(const char *path, const char *text, struct error *error) {
  cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return error_errno(error, "open %s", path);
  size_t length = strlen(text);
  ssize_t written = write(fd, text, length);
  if (written != (ssize_t)length) return error_errno(error, "write %.60s to %s", text, path);
  return 0;
}

int set_nonblocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static int64_t clock_ms(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
int64_t monotonic_ms(void) { return clock_ms(CLOCK_MONOTONIC); }
int64_t wall_ms(void) { return clock_ms(CLOCK_REALTIME); }

void complain(const char *format, ...) {
  static size_t said; /* the file behind standard error stays small whatever provokes complaints */
  char line[2048];
  struct timespec now;
  struct tm parts;
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &parts);
  size_t used = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &parts);
  used += (size_t)snprintf(line + used, sizeof line - used, ".%03ldZ ", now.tv_nsec / 1000000);
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line + used, sizeof line - used - 1, format, arguments);
  va_end(arguments);
  if (length < 0) return;
  used += (size_t)length;
  if (used > sizeof line - 2) used = sizeof line - 2;
  line[used++] = '\n';
  if ((said += used) > complaint_limit) return;
  (void)!write(2, line, used);
}
