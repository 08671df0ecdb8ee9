#include "files_ghosts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "util.h"

#define DEPTH_LIMIT 1000
#define COUNT_LIMIT 10000

static void cleanup_dir_(DIR **dir) {
  if (*dir) closedir(*dir);
}

static int add(struct ghosts *ghosts, const char *folder, const char *name, struct error *error) {
  if (ghosts->count == COUNT_LIMIT)
    return error_set(error, "exhausted", "the image has more than %d whiteouts that hide nothing", COUNT_LIMIT);
  if (ghosts->count == ghosts->capacity) {
    ghosts->capacity = ghosts->capacity ? ghosts->capacity * 2 : 64;
    ghosts->paths = xrealloc(ghosts->paths, ghosts->capacity * sizeof *ghosts->paths);
  }
  ghosts->paths[ghosts->count++] = xprintf("%s%s%s", folder, *folder ? "/" : "", name);
  return 0;
}

static int find_in(struct ghosts *ghosts, int fd, const char *path, int depth, struct error *error) {
  DIR *dir __attribute__((cleanup(cleanup_dir_))) = fdopendir(fd);
  if (!dir) {
    close(fd);
    return error_errno(error, "folder %s cannot be read", path);
  }
  if (depth == DEPTH_LIMIT) return error_set(error, "exhausted", "folders are nested more than %d deep", DEPTH_LIMIT);
  for (struct dirent *entry; (errno = 0, entry = readdir(dir));) {
    const char *name = entry->d_name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
    struct stat facts;
    if ((entry->d_type == DT_CHR || entry->d_type == DT_UNKNOWN) &&
        fstatat(fd, name, &facts, AT_SYMLINK_NOFOLLOW) < 0) {
      if (errno != ENOENT) return error_errno(error, "%s/%s cannot be looked up", path, name);
      if (add(ghosts, path, name, error) < 0) return -1;
      continue;
    }
    if (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN) continue;
    int child = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (child < 0 && entry->d_type == DT_UNKNOWN) continue;
    if (child < 0) return error_errno(error, "folder %s/%s cannot be opened", path, name);
    cleanup_free char *below = xprintf("%s%s%s", path, *path ? "/" : "", name);
    if (find_in(ghosts, child, below, depth + 1, error) < 0) return -1;
  }
  return errno ? error_errno(error, "folder %s cannot be read", path) : 0;
}

int ghosts_find(struct ghosts *ghosts, const char *tree, struct error *error) {
  int fd = open(tree, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  return fd < 0 ? error_errno(error, "folder %s cannot be opened", tree) : find_in(ghosts, fd, "", 0, error);
}

void ghosts_free(struct ghosts *ghosts) {
  for (size_t i = 0; i < ghosts->count; i++)
    free(ghosts->paths[i]);
  free(ghosts->paths);
  *ghosts = (struct ghosts){0};
}
