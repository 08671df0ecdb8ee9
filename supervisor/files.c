/*
 * gantry-supervisor files
 *
 * Reaches the files of something that does not run: mounts its overlay in a mount namespace of its own, makes that
 * the root of this process (but for erofs) and does one thing.
 *
 * The first line of standard input is the request, one JSON object of at most 1 MiB:
 *   op      "stat" | "read" | "write" | "copy" | "erofs"
 *   lower   absolute paths of the layers, topmost first, at least one
 *   upper, work   both or neither: the writable layer; without it the tree is read-only
 *   path    (stat, read, write, copy) looked up inside the tree; symlinks never lead out of it
 *   target  (copy) absolute path of a host folder that takes the content of the folder `path`
 *   output  (erofs) absolute path of the file to make or replace
 *   uuid    (erofs, optional) of the new file system, all zeros when absent
 *
 *   stat    {"name","size","mode","mtime","linkTarget"}: PathStat, one line on standard output
 *   read    one line {"stat":PathStat}, then a tar of `path` to the end of standard output; entries are named from
 * the last part of `path`. Only exit status 0 says that it is whole. write   the rest of standard input is a tar,
 * unpacked into the folder `path`, where a folder is never replaced by a file nor a file by a folder; then
 * {"entries","bytes","droppedXattrs"} copy    owners, modes, times, links and attributes are kept, those of `path`
 * itself go to `target`; then
 *           {"entries","bytes","droppedXattrs"}. No folder at `path`: {"entries":0,...}, nothing is changed.
 *   erofs   the merged tree as an EROFS file system, the same for the same tree and uuid; then {"bytes"}
 *
 * On failure exit status 1 and one line {"code","message"} on standard error.
 */
#include "files.h"

#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "mode_report.h"
#include "modes.h"
#include "overlay.h"
#include "util.h"

#define REQUEST_LIMIT (1u << 20)

/* Byte by byte: what follows the line is not ours to read yet. */
static json_t *read_request(struct error *error) {
  cleanup_free char *line = xmalloc(REQUEST_LIMIT);
  for (size_t length = 0; length < REQUEST_LIMIT; length++) {
    ssize_t got = read(STDIN_FILENO, line + length, 1);
    if (got < 0 && errno == EINTR) {
      length--;
      continue;
    }
    if (got < 0) {
      error_errno(error, "the request cannot be read");
      return NULL;
    }
    if (got == 0 || line[length] == '\n') return json_object_parse(line, length, error);
  }
  error_set(error, "invalid", "the request is longer than %u bytes", REQUEST_LIMIT);
  return NULL;
}

/* Layers never lie in /sys, so nothing is hidden by what is mounted over it here. */
#define BASE "/sys"

const char *files_mount(const json_t *request, struct error *error) {
  json_t *lower;
  if (need_array(request, "lower", &lower, error) < 0) return NULL;
  if (mount("tmpfs", BASE, "tmpfs", MS_NODEV | MS_NOSUID | MS_NOEXEC, "mode=700,size=1m") < 0) {
    error_errno(error, "no place to mount at " BASE);
    return NULL;
  }
  /* Without a writable layer an overlay wants two: the second may be empty. */
  cleanup_json json_t *layers = json_copy(lower);
  if (mkdir(BASE "/empty", 0755) < 0 || json_array_append_new(layers, json_string(BASE "/empty")) < 0) {
    error_errno(error, "no place to mount at " BASE);
    return NULL;
  }
  cleanup_json json_t *rootfs =
      json_pack("{s:s, s:O, s:s}", "kind", "overlay", "lower", layers, "target", FILES_TREE);
  const char *upper = want_string(request, "upper", NULL), *work = want_string(request, "work", NULL);
  if (!upper != !work) {
    error_set(error, "invalid", "files: upper and work go together");
    return NULL;
  }
  if (upper) {
    json_object_set_new(rootfs, "upper", json_string(upper));
    json_object_set_new(rootfs, "work", json_string(work));
  }
  return overlay_mount(rootfs, error) < 0 ? NULL : FILES_TREE;
}

static int run(const json_t *request, struct error *error) {
  static const struct {
    const char *name;
    int (*run)(const json_t *request, struct error *error);
    bool writes;
  } verbs[] = {{"stat", files_stat, false},
               {"read", files_read, false},
               {"write", files_write, true},
               {"copy", files_copy, false},
               {"erofs", files_erofs, false}};
  const char *op;
  if (need_string(request, "op", &op, error) < 0) return -1;
  for (size_t i = 0; i < countof(verbs); i++)
    if (strcmp(op, verbs[i].name) == 0) {
      if (verbs[i].writes && !want_string(request, "upper", NULL))
        return error_set(error, "invalid", "files: %s needs upper and work", op);
      return verbs[i].run(request, error);
    }
  return error_set(error, "invalid", "files: there is no op \"%s\"", op);
}

int files_main(int argc, char **argv) {
  (void)argv;
  struct error error = {.code = "internal"};
  if (argc != 1) {
    error_set(&error, "invalid", "usage: files <request");
    return report_error(&error);
  }
  cleanup_json json_t *request = read_request(&error);
  return !request || run(request, &error) < 0 ? report_error(&error) : 0;
}
