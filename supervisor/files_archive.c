/* stat, read, write and copy: from within the tree. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

#include "archive.h"
#include "confine.h"
#include "files.h"
#include "mode_report.h"
#include "util.h"

/* Mounts the tree, makes it the root and gives up what is not needed; returns a descriptor of the root. */
static int enter(const json_t *request, const int *keep, unsigned count, struct error *error) {
  const char *tree = confine_namespaces(error) < 0 ? NULL : files_mount(request, error);
  if (!tree || confine_descriptors(keep, count, error) < 0 || confine_root(tree, NULL, error) < 0) return -1;
  int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return error_errno(error, "the tree cannot be opened");
  if (confine_privileges(confine_archive_capabilities, error) < 0 || confine_syscalls(error) < 0) return -1;
  return root;
}

static int report_result(const struct archive_result *result, struct error *error) {
  return report_json(json_pack("{s:I, s:I, s:I}", "entries", (json_int_t)result->entries, "bytes",
                               (json_int_t)result->bytes, "droppedXattrs", (json_int_t)result->dropped),
                     error);
}

int files_stat(const json_t *request, struct error *error) {
  const char *path;
  if (need_string(request, "path", &path, error) < 0) return -1;
  cleanup_fd int root = enter(request, NULL, 0, error);
  json_t *stat = root < 0 ? NULL : archive_stat(root, path, error);
  return stat ? report_json(stat, error) : -1;
}

int files_read(const json_t *request, struct error *error) {
  const char *path;
  if (need_string(request, "path", &path, error) < 0) return -1;
  cleanup_fd int root = enter(request, NULL, 0, error);
  json_t *stat = root < 0 ? NULL : archive_stat(root, path, error);
  if (!stat || report_json(json_pack("{s:o}", "stat", stat), error) < 0) return -1;
  return archive_write_tar(root, path, STDOUT_FILENO, error);
}

int files_write(const json_t *request, struct error *error) {
  const char *path;
  struct archive_result result;
  if (need_string(request, "path", &path, error) < 0) return -1;
  cleanup_fd int root = enter(request, NULL, 0, error);
  if (root < 0 || archive_read_tar(root, path, STDIN_FILENO, NULL, ARCHIVE_KEEP_FOLDERS, &result, error) < 0)
    return -1;
  return report_result(&result, error);
}

/*
 * The reading half of a copy, in a process of its own. Sends the folder's content, or an empty archive
 * when there is none.
 */
static int send_folder(const json_t *request, const char *path, int out, struct error *error) {
  cleanup_fd int root = enter(request, &out, 1, error);
  cleanup_free char *content = xprintf("%s/.", path);
  if (root < 0) return -1;
  cleanup_json json_t *stat = archive_stat(root, content, error);
  if (stat) return archive_write_tar(root, content, out, error);
  static const char end_mark[1024];
  if (strcmp(error->code, "not_found") != 0) return -1;
  return write_all(out, end_mark, sizeof end_mark) < 0 ? error_errno(error, "the archive cannot be written") : 0;
}

/* The writing half, shut into the target. */
static int receive_folder(const char *target, int in, struct archive_result *result, struct error *error) {
  if (confine_namespaces(error) < 0 || confine_descriptors(&in, 1, error) < 0 ||
      confine_root(target, NULL, error) < 0)
    return -1;
  cleanup_fd int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return error_errno(error, "folder %s cannot be opened", target);
  if (confine_privileges(confine_archive_capabilities, error) < 0 || confine_syscalls(error) < 0) return -1;
  return archive_read_tar(root, "/", in, NULL, ARCHIVE_SET_DEST, result, error);
}

int files_copy(const json_t *request, struct error *error) {
  const char *path, *target;
  if (need_string(request, "path", &path, error) < 0 || need_string(request, "target", &target, error) < 0) return -1;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return error_errno(error, "a pipe cannot be made");
  pid_t sender = fork();
  if (sender < 0) return error_errno(error, "the copy cannot be forked");
  if (sender == 0) {
    close(ends[0]);
    _exit(send_folder(request, path, ends[1], error) < 0 ? report_error(error) : 0);
  }
  close(ends[1]);
  struct archive_result result;
  int received = receive_folder(target, ends[0], &result, error), status = 0;
  close(ends[0]);
  while (waitpid(sender, &status, 0) < 0 && errno == EINTR)
    ;
  /* The sender has said why; what was received is cut off only for that reason. */
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0) _exit(1);
  if (received < 0) return -1;
  if (!WIFEXITED(status)) return error_set(error, "internal", "the sender of the copy died");
  return report_result(&result, error);
}
