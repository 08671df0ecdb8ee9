/* One path's facts. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "archive.h"
#include "archive_path.h"
#include "util.h"

/* How many bytes at `at` are one well-formed UTF-8 character; 0: none is. */
static size_t utf8_length(const unsigned char *at) {
  size_t length = at[0] < 0x80 ? 1 : at[0] >= 0xc2 && at[0] < 0xe0 ? 2 : at[0] >= 0xe0 && at[0] < 0xf0 ? 3 : 4;
  if (length == 1) return 1;
  if (at[0] < 0xc2 || at[0] > 0xf4) return 0;
  for (size_t i = 1; i < length; i++)
    if ((at[i] & 0xc0) != 0x80) return 0;
  if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf0 && at[1] < 0x90) ||
      (at[0] == 0xf4 && at[1] > 0x8f))
    return 0;
  return length;
}

/* A file name is any bytes, JSON is UTF-8: what is not becomes U+FFFD. */
static json_t *text_to_json(const char *text) {
  cleanup_free char *out = xmalloc(strlen(text) * 3 + 1);
  char *to = out;
  for (const unsigned char *at = (const unsigned char *)text; *at;) {
    size_t length = utf8_length(at);
    memcpy(to, length ? (const char *)at : "\xef\xbf\xbd", length ? length : 3);
    to += length ? length : 3;
    at += length ? length : 1;
  }
  *to = '\0';
  return json_string(out);
}

json_t *archive_stat(int root, const char *path, struct error *error) {
  int folder;
  cleanup_free char *name = NULL;
  cleanup_free char *clean = path_clean(path, &folder, &name);
  cleanup_fd int fd = path_open(root, clean, O_PATH | (folder ? O_DIRECTORY : O_NOFOLLOW), PATH_IN_ROOT);
  struct stat facts;
  if (fd < 0 || fstat(fd, &facts) < 0) {
    error_errno(error, "%s cannot be looked up", path);
    return NULL;
  }
  char target[PATH_MAX] = "";
  if (S_ISLNK(facts.st_mode)) {
    ssize_t length = readlinkat(fd, "", target, sizeof target - 1);
    target[length < 0 ? 0 : length] = '\0';
  }
  json_int_t mtime = (json_int_t)facts.st_mtim.tv_sec * 1000 + facts.st_mtim.tv_nsec / 1000000;
  return json_pack("{s:o, s:I, s:I, s:I, s:o}", "name", text_to_json(name), "size", (json_int_t)facts.st_size, "mode",
                   (json_int_t)facts.st_mode, "mtime", mtime, "linkTarget", text_to_json(target));
}
