#include "overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "buffer.h"
#include "util.h"

static int configure(int context, const char *key, const char *value) {
  return (int)syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, key, value, 0);
}

/* The kernel explains itself in the context's message queue. */
static int explain(int context, const char *what, struct error *error) {
  int number = errno;
  char text[256];
  ssize_t length = read(context, text, sizeof text - 1);
  if (length <= 0) {
    errno = number;
    return error_errno(error, "overlay: %s", what);
  }
  text[length] = 0;
  return error_set(error, "internal", "overlay: %s: %s (%s)", what, strerror(number), text);
}

/* Kernel 6.5 and later: each layer by itself, so that their number and their names do not matter. */
static int mount_by_layers(char **lower, const char *upper, const char *work, const char *target,
                           struct error *error) {
  cleanup_fd int context = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
  if (context < 0) return error_errno(error, "overlay file system");
  for (size_t i = 0; lower[i]; i++)
    if (configure(context, "lowerdir+", lower[i]) < 0) {
      if (i == 0 && errno == EINVAL) return 1;
      return explain(context, lower[i], error);
    }
  if (upper && (configure(context, "upperdir", upper) < 0 || configure(context, "workdir", work) < 0))
    return explain(context, upper, error);
  if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) return explain(context, "create", error);
  cleanup_fd int tree = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
  if (tree < 0) return explain(context, "mount", error);
  if (syscall(SYS_move_mount, tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
    return error_errno(error, "mount the overlay at %s", target);
  return 0;
}

/* A path in mount options, with what separates there escaped. */
static void append_path(struct buffer *out, const char *path) {
  for (; *path; path++) {
    if (strchr(":\\,", *path)) buffer_append(out, "\\", 1);
    buffer_append(out, path, 1);
  }
}

/* Older kernels: all layers in one page of options. */
static int mount_by_options(char **lower, const char *upper, const char *work, const char *target,
                            struct error *error) {
  struct buffer options = {0};
  buffer_append(&options, "lowerdir=", 9);
  for (size_t i = 0; lower[i]; i++) {
    if (i > 0) buffer_append(&options, ":", 1);
    append_path(&options, lower[i]);
  }
  if (upper) {
    buffer_append(&options, ",upperdir=", 10);
    append_path(&options, upper);
    buffer_append(&options, ",workdir=", 9);
    append_path(&options, work);
  }
  buffer_append(&options, "", 1);
  int result = 0;
  if (buffer_length(&options) > 4096)
    result = error_set(error, "unsupported", "the image has too many layers for this kernel (6.5 or newer takes them)");
  else if (mount("overlay", target, "overlay", 0, buffer_data(&options)) < 0)
    result = error_errno(error, "mount the overlay at %s", target);
  buffer_free(&options);
  return result;
}

int overlay_mount(const json_t *rootfs, struct error *error) {
  const char *kind, *target, *work = NULL;
  const char *upper = want_string(rootfs, "upper", NULL);
  if (need_string(rootfs, "kind", &kind, error) < 0 || need_string(rootfs, "target", &target, error) < 0) return -1;
  if (strcmp(kind, "overlay") != 0)
    return error_set(error, "invalid", "a container's root file system is an overlay, not \"%s\"", kind);
  if (upper && need_string(rootfs, "work", &work, error) < 0) return -1;
  cleanup_free char **lower = need_strings(rootfs, "lower", error);
  if (!lower) return -1;
  if (!lower[0]) return error_set(error, "invalid", "an image has at least one layer");
  if (mkdir(target, 0755) < 0 && errno != EEXIST) return error_errno(error, "make %s", target);
  int result = mount_by_layers(lower, upper, work, target, error);
  return result == 1 ? mount_by_options(lower, upper, work, target, error) : result;
}
