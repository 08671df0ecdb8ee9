/* The log: Docker's form, pieces of long lines, bytes that are no UTF-8, rotation, and a disk that is full. */
#include "log.h"

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "check.h"
#include "frame.h"
#include "util.h"

static char folder[] = "/tmp/gantry-log-XXXXXX";

static char *path_of(const char *name) { return xprintf("%s/%s", folder, name); }

/* All lines of a file as a JSON array; each line must be whole. */
static json_t *lines_of(const char *path) {
  cleanup_free char *text = read_path(path, 64 << 20, NULL, NULL);
  json_t *lines = json_array();
  char *rest = text;
  for (char *line; rest && *rest && (line = strsep(&rest, "\n"));) {
    CHECK(rest != NULL); /* ended by a newline */
    json_t *entry = json_loads(line, 0, NULL);
    CHECK(entry != NULL);
    json_array_append_new(lines, entry);
  }
  return lines;
}

static const char *field(const json_t *lines, size_t index, const char *key) {
  return json_string_value(json_object_get(json_array_get(lines, index), key));
}

static void plain_lines(void) {
  cleanup_free char *path = path_of("plain");
  struct log *log = log_open(path, 0, 1, NULL);
  log_write(log, FRAME_STDOUT, "one\ntw", 6);
  log_write(log, FRAME_STDERR, "err \"q\" \\ \t\x01\n", 13);
  log_write(log, FRAME_STDOUT, "o\nend", 5);
  log_close(log);
  json_t *lines = lines_of(path);
  CHECK(json_array_size(lines) == 4);
  CHECK(strcmp(field(lines, 0, "log"), "one\n") == 0 && strcmp(field(lines, 0, "stream"), "stdout") == 0);
  CHECK(strcmp(field(lines, 1, "log"), "err \"q\" \\ \t\x01\n") == 0 && strcmp(field(lines, 1, "stream"), "stderr") == 0);
  CHECK(strcmp(field(lines, 2, "log"), "two\n") == 0);
  CHECK(strcmp(field(lines, 3, "log"), "end") == 0);
  const char *time = field(lines, 0, "time");
  CHECK(strlen(time) == 30 && time[10] == 'T' && time[19] == '.' && time[29] == 'Z');
  CHECK(!json_object_get(json_array_get(lines, 0), "raw"));
  json_decref(lines);
  struct stat stat_;
  CHECK(stat(path, &stat_) == 0 && (stat_.st_mode & 0777) == 0600);
}

static void long_lines(void) {
  cleanup_free char *path = path_of("long");
  struct log *log = log_open(path, 0, 1, NULL);
  /* "ä" is two bytes: an odd offset makes the cut fall inside one, where it must not be made. */
  enum { size = 40001 };
  cleanup_free char *text = xmalloc(size);
  text[0] = 'x';
  for (int i = 1; i < size; i += 2) memcpy(text + i, "\xc3\xa4", 2);
  for (int at = 0; at < size; at += 7000) log_write(log, FRAME_STDOUT, text + at, at + 7000 < size ? 7000 : size - at);
  log_close(log);
  json_t *lines = lines_of(path);
  size_t at = 0;
  for (size_t i = 0; i < json_array_size(lines); i++) {
    const char *piece = field(lines, i, "log");
    size_t length = strlen(piece);
    CHECK(length <= LOG_PIECE && memcmp(piece, text + at, length) == 0);
    CHECK(!json_object_get(json_array_get(lines, i), "raw"));
    at += length;
  }
  CHECK(at == size && json_array_size(lines) == 3);
  json_decref(lines);
}

static void bytes_that_are_no_text(void) {
  cleanup_free char *path = path_of("bytes");
  struct log *log = log_open(path, 0, 1, NULL);
  log_write(log, FRAME_STDOUT, "a\xff\x00z\n", 5);
  log_write(log, FRAME_STDOUT, "\xed\xa0\x80\n", 4);     /* a surrogate */
  log_write(log, FRAME_STDOUT, "\xc0\xaf\n", 3);         /* an overlong slash */
  log_write(log, FRAME_STDOUT, "\xf0\x9f\x98\x80\n", 5); /* well formed */
  log_close(log);
  cleanup_free char *text = read_path(path, 1 << 20, NULL, NULL);
  CHECK(strstr(text, "{\"log\":\"a\xef\xbf\xbd\\u0000z\\n\",\"raw\":\"Yf8Aego=\",") == text);
  CHECK(strstr(text, "\"raw\":\"7aCACg==\"") && strstr(text, "\"raw\":\"wK8K\""));
  CHECK(strstr(text, "{\"log\":\"\xf0\x9f\x98\x80\\n\",\"stream\""));
}

static void rotation(void) {
  cleanup_free char *path = path_of("rotating");
  struct log *log = log_open(path, 1000, 3, NULL);
  for (int i = 0; i < 100; i++) {
    cleanup_free char *line = xprintf("line %d\n", i);
    log_write(log, FRAME_STDOUT, line, strlen(line));
  }
  log_close(log);
  int next = 100;
  const char *names[] = {"rotating", "rotating.1", "rotating.2"};
  for (size_t f = 0; f < countof(names); f++) {
    cleanup_free char *name = path_of(names[f]);
    struct stat stat_;
    CHECK(stat(name, &stat_) == 0 && stat_.st_size <= 1000 && stat_.st_size > 0);
    json_t *lines = lines_of(name);
    for (size_t i = json_array_size(lines); i > 0; i--) {
      cleanup_free char *want = xprintf("line %d\n", --next);
      CHECK(strcmp(field(lines, i - 1, "log"), want) == 0);
    }
    json_decref(lines);
  }
  cleanup_free char *fourth = path_of("rotating.3");
  CHECK(access(fourth, F_OK) < 0);
  CHECK(next > 50 && next <= 75);

  /* One file only: it starts again from nothing. */
  cleanup_free char *single = path_of("single");
  log = log_open(single, 500, 1, NULL);
  for (int i = 0; i < 100; i++) log_write(log, FRAME_STDOUT, "abc\n", 4);
  log_close(log);
  struct stat stat_;
  CHECK(stat(single, &stat_) == 0 && stat_.st_size <= 500 && stat_.st_size > 0);
}

/* A file that cannot grow stands for a full disk: writes are cut short, then fail. */
static void full_disk(void) {
  cleanup_free char *path = path_of("full");
  signal(SIGXFSZ, SIG_IGN);
  struct rlimit before, small = {4096, RLIM_INFINITY};
  getrlimit(RLIMIT_FSIZE, &before);
  small.rlim_max = before.rlim_max;
  CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
  struct log *log = log_open(path, 0, 1, NULL);
  for (int i = 0; i < 200; i++) log_write(log, FRAME_STDOUT, "0123456789\n", 11);
  int64_t dropped = log_dropped(log);
  json_t *lines = lines_of(path); /* no half line */
  CHECK(json_array_size(lines) > 20);
  CHECK(dropped == (int64_t)(200 - json_array_size(lines)) * 11);
  json_decref(lines);
  setrlimit(RLIMIT_FSIZE, &before);
  log_write(log, FRAME_STDOUT, "room again\n", 11);
  CHECK(log_dropped(log) == dropped);
  log_close(log);
  lines = lines_of(path);
  CHECK(strcmp(field(lines, json_array_size(lines) - 1, "log"), "room again\n") == 0);
  json_decref(lines);
}

static void no_file(void) {
  struct error error = {0};
  cleanup_free char *link = path_of("link");
  CHECK(symlink("/tmp", link) == 0);
  CHECK(log_open(link, 0, 1, &error) == NULL && error.code);
  CHECK(log_open("/nosuch/log", 0, 1, &error) == NULL && strcmp(error.code, "not_found") == 0);
}

int main(void) {
  CHECK(mkdtemp(folder));
  plain_lines();
  long_lines();
  bytes_that_are_no_text();
  rotation();
  full_disk();
  no_file();
  cleanup_free char *command = xprintf("rm -rf %s", folder);
  return system(command) == 0 ? 0 : 1;
}
