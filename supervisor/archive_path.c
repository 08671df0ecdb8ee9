#include "archive_path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "util.h"

#define DEPTH_LIMIT 1000

int path_open(int root, const char *path, int flags, enum path_rule rule) {
  static const uint64_t resolve[] = {
      [PATH_IN_ROOT] = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
      [PATH_BENEATH] = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
      [PATH_NO_SYMLINKS] = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
  };
  struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC), .resolve = resolve[rule]};
  for (int tries = 0;; tries++) {
    int fd = (int)syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof how);
    /* EAGAIN: something was renamed while ".." was resolved. */
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR) || tries == 100) return fd;
  }
}

char *path_clean(const char *path, int *folder, char **name) {
  size_t length = strlen(path);
  int dot = length > 0 && path[length - 1] == '.' && (length == 1 || path[length - 2] == '/');
  *folder = dot || (length > 0 && path[length - 1] == '/');
  char *clean = xmalloc(length + 1), *to = clean;
  for (const char *at = path; *at;) {
    size_t part = strcspn(at, "/");
    if (part == 2 && memcmp(at, "..", 2) == 0) {
      while (to > clean && *--to != '/')
        ;
    } else if (part > 0 && !(part == 1 && *at == '.')) {
      if (to > clean) *to++ = '/';
      memcpy(to, at, part);
      to += part;
    }
    at += part + (at[part] == '/');
  }
  *to = '\0';
  const char *slash = strrchr(clean, '/');
  if (*clean == '\0') *folder = 1;
  *name = xstrdup(*clean == '\0' ? "/" : dot ? "." : slash ? slash + 1 : clean);
  return clean;
}

int path_open_parent(int root, const char *path, const char **leaf, enum path_rule rule) {
  const char *slash = strrchr(path, '/');
  *leaf = slash ? slash + 1 : path;
  if (!slash) return path_open(root, "", O_PATH | O_DIRECTORY, rule);
  cleanup_free char *parent = strndup(path, (size_t)(slash - path));
  if (!parent) return -1;
  return path_open(root, parent, O_PATH | O_DIRECTORY, rule);
}

static void cleanup_dir_(DIR **dir) {
  if (*dir) closedir(*dir);
}

static int remove_folder(int parent, const char *name, int depth, struct error *error) {
  if (depth > DEPTH_LIMIT) return error_set(error, "exhausted", "folders are nested too deeply to be removed");
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return error_errno(error, "folder %s cannot be opened for removal", name);
  DIR *dir __attribute__((cleanup(cleanup_dir_))) = fdopendir(fd);
  if (!dir) {
    close(fd);
    return error_errno(error, "folder %s cannot be read", name);
  }
  for (struct dirent *entry; (errno = 0, entry = readdir(dir));) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (entry->d_type != DT_DIR && unlinkat(fd, entry->d_name, 0) == 0) continue;
    if (entry->d_type != DT_DIR && errno != EISDIR) return error_errno(error, "%s cannot be removed", entry->d_name);
    if (remove_folder(fd, entry->d_name, depth + 1, error) < 0) return -1;
  }
  if (errno) return error_errno(error, "folder %s cannot be read", name);
  return unlinkat(parent, name, AT_REMOVEDIR) < 0 ? error_errno(error, "folder %s cannot be removed", name) : 0;
}

int path_remove(int parent, const char *name, struct error *error) {
  if (unlinkat(parent, name, 0) == 0 || errno == ENOENT) return 0;
  if (errno != EISDIR) return error_errno(error, "%s cannot be removed", name);
  return remove_folder(parent, name, 0, error);
}
