#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"
#include "util.h"

struct log {
  char *path;
  int64_t max_size;
  int max_files;
  int fd; /* -1 while it cannot be opened */
  int64_t size, dropped;
  struct buffer held[2]; /* unfinished lines of stdout and stderr */
  /* Formatted lines that go out in one write, and the bytes of output in them. */
  struct buffer batch;
  int64_t batch_bytes;
};

/* Length of the valid UTF-8 sequence at `p`, or 0. */
static size_t utf8_length(const uint8_t *p, size_t left) {
  if (p[0] < 0x80) return 1;
  size_t length = p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : p[0] >= 0xe0 && p[0] <= 0xef ? 3 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : 0;
  if (length == 0 || length > left) return 0;
  for (size_t i = 1; i < length; i++)
    if ((p[i] & 0xc0) != 0x80) return 0;
  if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
      (p[0] == 0xf4 && p[1] > 0x8f))
    return 0;
  return length;
}

static void append_base64(struct buffer *out, const uint8_t *data, size_t length) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  char *to = buffer_reserve(out, (length + 2) / 3 * 4), *start = to;
  for (size_t i = 0; i < length; i += 3) {
    size_t left = length - i;
    uint32_t three = (uint32_t)data[i] << 16 | (left > 1 ? data[i + 1] : 0u) << 8 | (left > 2 ? data[i + 2] : 0u);
    *to++ = digits[three >> 18];
    *to++ = digits[three >> 12 & 63];
    *to++ = left > 1 ? digits[three >> 6 & 63] : '=';
    *to++ = left > 2 ? digits[three & 63] : '=';
  }
  buffer_added(out, (size_t)(to - start));
}

/* JSON text of the bytes; true when some were not UTF-8. */
static bool append_escaped(struct buffer *out, const uint8_t *data, size_t length) {
  bool broken = false;
  char *to = buffer_reserve(out, length * 6), *start = to;
  for (size_t i = 0; i < length;) {
    uint8_t c = data[i];
    if (c >= 0x80) {
      size_t whole = utf8_length(data + i, length - i);
      if (whole == 0) {
        broken = true;
        memcpy(to, "\xef\xbf\xbd", 3);
        to += 3;
        i++;
        continue;
      }
      memcpy(to, data + i, whole);
      to += whole;
      i += whole;
      continue;
    }
    i++;
    if (c == '"' || c == '\\') {
      *to++ = '\\';
      *to++ = (char)c;
    } else if (c == '\n' || c == '\r' || c == '\t') {
      *to++ = '\\';
      *to++ = c == '\n' ? 'n' : c == '\r' ? 'r' : 't';
    } else if (c < 0x20 || c == 0x7f) {
      static const char hex[] = "0123456789abcdef";
      memcpy(to, "\\u00", 4);
      to[4] = hex[c >> 4];
      to[5] = hex[c & 15];
      to += 6;
    } else {
      *to++ = (char)c;
    }
  }
  buffer_added(out, (size_t)(to - start));
  return broken;
}

static void append_text(struct buffer *out, const char *text) { buffer_append(out, text, strlen(text)); }

void log_format(struct buffer *out, uint8_t type, const void *text, size_t length, int64_t time) {
  append_text(out, "{\"log\":\"");
  bool broken = append_escaped(out, text, length);
  append_text(out, "\"");
  if (broken) {
    append_text(out, ",\"raw\":\"");
    append_base64(out, text, length);
    append_text(out, "\"");
  }
  time_t seconds = time / 1000000000;
  struct tm parts;
  gmtime_r(&seconds, &parts);
  char date[32], end[128];
  strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
  snprintf(end, sizeof end, ",\"stream\":\"%s\",\"time\":\"%s.%09lldZ\"}\n", type == FRAME_STDERR ? "stderr" : "stdout",
           date, (long long)(time % 1000000000));
  append_text(out, end);
}

static int open_file(struct log *log, struct error *error) {
  log->fd = open(log->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
  if (log->fd < 0) return error_errno(error, "open log %s", log->path);
  struct stat stat;
  if (fstat(log->fd, &stat) < 0 || !S_ISREG(stat.st_mode)) {
    close(log->fd);
    log->fd = -1;
    return error_set(error, "invalid", "log %s is not a file", log->path);
  }
  log->size = stat.st_size;
  return 0;
}

struct log *log_open(const char *path, int64_t max_size, int max_files, struct error *error) {
  struct log *log = xzalloc(sizeof *log);
  log->path = xstrdup(path);
  log->max_size = max_size;
  log->max_files = max_files < 1 ? 1 : max_files > 1000 ? 1000 : max_files;
  if (open_file(log, error) == 0) return log;
  free(log->path);
  free(log);
  return NULL;
}

static void rotate(struct log *log) {
  if (log->max_files == 1) {
    if (log->fd >= 0 && ftruncate(log->fd, 0) == 0) log->size = 0;
    return;
  }
  char from[PATH_MAX], to[PATH_MAX];
  for (int number = log->max_files - 1; number > 0; number--) {
    if (number == 1)
      snprintf(from, sizeof from, "%s", log->path);
    else
      snprintf(from, sizeof from, "%s.%d", log->path, number - 1);
    snprintf(to, sizeof to, "%s.%d", log->path, number);
    rename(from, to);
  }
  if (log->fd >= 0) close(log->fd);
  open_file(log, NULL);
}

static void write_batch(struct log *log) {
  size_t length = buffer_length(&log->batch);
  if (length == 0) return;
  if (log->fd < 0) open_file(log, NULL);
  ssize_t written = -1;
  if (log->fd >= 0)
    do written = write(log->fd, buffer_data(&log->batch), length);
    while (written < 0 && errno == EINTR);
  if (written == (ssize_t)length) {
    log->size += written;
  } else {
    log->dropped += log->batch_bytes;
    if (written > 0 && ftruncate(log->fd, log->size) < 0) complain("log %s: cannot cut a half line off", log->path);
  }
  buffer_consume(&log->batch, length);
  log->batch_bytes = 0;
}

static void put_line(struct log *log, uint8_t type, const void *text, size_t length, int64_t time) {
  size_t before = buffer_length(&log->batch);
  log_format(&log->batch, type, text, length, time);
  if (log->max_size > 0 && log->size + (int64_t)before > 0 &&
      log->size + (int64_t)buffer_length(&log->batch) > log->max_size) {
    /* This line begins the next file: write those before it first. */
    log->batch.end -= buffer_length(&log->batch) - before;
    write_batch(log);
    rotate(log);
    log_format(&log->batch, type, text, length, time);
  }
  log->batch_bytes += (int64_t)length;
}

/* Where to cut a piece so that no whole UTF-8 character is split. */
static size_t cut_at(const uint8_t *data, size_t length) {
  for (size_t back = 1; back <= 3 && back < length; back++) {
    uint8_t c = data[length - back];
    if ((c & 0xc0) == 0x80) continue;
    size_t needs = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
    return needs > back ? length - back : length;
  }
  return length;
}

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void log_write(struct log *log, uint8_t type, const void *data, size_t length) {
  struct buffer *held = &log->held[type == FRAME_STDERR];
  int64_t time = now_ns();
  buffer_append(held, data, length);
  while (buffer_length(held) > 0) {
    const uint8_t *start = (uint8_t *)buffer_data(held);
    size_t have = buffer_length(held), within = have < LOG_PIECE ? have : LOG_PIECE;
    const uint8_t *newline = memchr(start, '\n', within);
    if (!newline && have < LOG_PIECE) break;
    size_t take = newline ? (size_t)(newline - start) + 1 : cut_at(start, LOG_PIECE);
    put_line(log, type, start, take, time);
    buffer_consume(held, take);
  }
  write_batch(log);
}

void log_flush(struct log *log) {
  for (int i = 0; i < 2; i++) {
    struct buffer *held = &log->held[i];
    if (buffer_length(held) > 0)
      put_line(log, i == 1 ? FRAME_STDERR : FRAME_STDOUT, buffer_data(held), buffer_length(held), now_ns());
    buffer_free(held);
  }
  write_batch(log);
}

int64_t log_dropped(const struct log *log) { return log ? log->dropped : 0; }

void log_close(struct log *log) {
  if (!log) return;
  log_flush(log);
  if (log->fd >= 0) close(log->fd);
  buffer_free(&log->batch);
  free(log->path);
  free(log);
}
