#include "archive_below.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "util.h"

enum { layers_max = 512 };

int archive_below_add(struct archive_below *below, const char *path, struct error *error) {
  if (below->count == layers_max) return error_set(error, "invalid", "more than %d layers below", layers_max);
  cleanup_fd int fd = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  struct mount_attr frozen = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
  if (fd < 0 || syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &frozen, sizeof frozen) < 0)
    return error_errno(error, "layer %s cannot be opened", path);
  below->roots = xrealloc(below->roots, (below->count + 1) * sizeof *below->roots);
  below->roots[below->count++] = take_fd(&fd);
  return 0;
}

void archive_below_free(struct archive_below *below) {
  for (size_t i = 0; i < below->count; i++) close(below->roots[i]);
  free(below->roots);
  *below = (struct archive_below){0};
}

enum found { FOUND, LOOK_BELOW, HIDDEN };

/* Part by part, so that a whiteout or an opaque folder on the way is seen. */
static enum found look(int root, const char *path, struct stat *facts) {
  cleanup_fd int folder = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool opaque = false;
  while (folder >= 0 && *path) {
    char part[256], mark;
    size_t length = strcspn(path, "/");
    if (length == 0 || length >= sizeof part) return HIDDEN;
    memcpy(part, path, length);
    part[length] = '\0';
    path += length + (path[length] == '/');
    int next = openat(folder, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (next < 0) return errno == ENOENT && !opaque ? LOOK_BELOW : HIDDEN;
    close(folder);
    folder = next;
    if (fgetxattr(folder, "trusted.overlay.opaque", &mark, 1) == 1 && mark == 'y') opaque = true;
  }
  return folder >= 0 && fstat(folder, facts) == 0 ? FOUND : HIDDEN;
}

bool archive_below_find(const struct archive_below *below, const char *path, struct stat *facts) {
  for (size_t i = 0; i < below->count; i++) {
    enum found found = look(below->roots[i], path, facts);
    if (found != LOOK_BELOW) return found == FOUND;
  }
  return false;
}
