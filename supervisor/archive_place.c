#include "archive_place.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "util.h"

#define TIMES_BYTES_LIMIT (256u << 20)

int place_open(struct place *place, int root, const char *dest, unsigned flags, struct error *error) {
  *place = (struct place){.dest = -1, .cached_fd = -1, .flags = flags};
  cleanup_fd int top = path_open(root, "", O_PATH | O_DIRECTORY, PATH_IN_ROOT);
  place->dest = path_open(root, dest, O_RDONLY | O_DIRECTORY, PATH_IN_ROOT);
  struct stat at_top, at_dest;
  if (top < 0 || place->dest < 0 || fstat(top, &at_top) < 0 || fstat(place->dest, &at_dest) < 0)
    return error_errno(error, "folder %s cannot be opened", dest);
  int is_root = at_top.st_dev == at_dest.st_dev && at_top.st_ino == at_dest.st_ino;
  place->rule = is_root ? PATH_IN_ROOT : PATH_BENEATH;
  return 0;
}

static void forget_cached(struct place *place) {
  if (place->cached_fd >= 0) close(place->cached_fd);
  free(place->cached);
  place->cached = NULL;
  place->cached_fd = -1;
}

void place_close(struct place *place) {
  forget_cached(place);
  if (place->dest >= 0) close(place->dest);
  for (size_t i = 0; i < place->times_count; i++)
    free(place->times[i].name);
  free(place->times);
}

void place_remember(struct place *place, const char *name, int fd) {
  forget_cached(place);
  place->cached = xstrdup(name);
  place->cached_fd = fd;
}

/* In a stack of layers the topmost folder gives owner and mode: one that was only implied must not change them. */
static int inherit(const struct place *place, int fd, const char *path, struct error *error) {
  struct stat facts;
  /* 0755, root, also in a folder that would hand its group on. */
  if (!archive_below_find(place->below, path, &facts)) facts = (struct stat){.st_mode = 0755};
  if (fchown(fd, facts.st_uid, facts.st_gid) < 0 || fchmod(fd, facts.st_mode & 07777) < 0)
    return error_errno(error, "folder %s cannot be made like the one below", path);
  return 0;
}

int place_inherit_dest(struct place *place, struct error *error) { return inherit(place, place->dest, "", error); }

/* Makes the folder `path`, whose parents are there. */
static int make_parent(struct place *place, const char *path, struct error *error) {
  const char *leaf;
  cleanup_fd int parent = path_open_parent(place->dest, path, &leaf, place->rule);
  if (parent < 0) return error_errno(error, "the parents of %s cannot be opened", path);
  cleanup_fd int fd = -1;
  if (mkdirat(parent, leaf, 0755) == 0) {
    if (!place->below) return 0;
    fd = openat(parent, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? error_errno(error, "folder %s cannot be opened", path) : inherit(place, fd, path, error);
  }
  if (errno != EEXIST) return error_errno(error, "folder %s cannot be made", path);
  struct stat there;
  if (!(place->flags & ARCHIVE_WHITEOUTS) || fstatat(parent, leaf, &there, AT_SYMLINK_NOFOLLOW) < 0 ||
      !S_ISCHR(there.st_mode) || there.st_rdev != 0)
    return error_set(error, "invalid", "the archive puts something beneath %s, which is not a folder there", path);
  fd = place_folder(place, parent, leaf, error);
  return fd < 0 ? -1 : fchmod(fd, 0755) < 0 ? error_errno(error, "folder %s cannot be made", path) : 0;
}

/* Opens the folder `path` of the destination, making what is missing of it. */
static int open_or_make(struct place *place, char *path, struct error *error) {
  int fd = path_open(place->dest, path, O_PATH | O_DIRECTORY, place->rule);
  for (char *at = path; fd < 0 && (errno == ENOENT || errno == ENOTDIR);) {
    char *slash = strchr(at, '/');
    if (slash) *slash = '\0';
    int there = path_open(place->dest, path, O_PATH | O_DIRECTORY, place->rule);
    int made = there >= 0 || (errno != ENOENT && errno != ENOTDIR) || make_parent(place, path, error) == 0;
    if (there >= 0) close(there);
    if (slash) *slash = '/';
    if (!made) return -1;
    if (slash) {
      at = slash + 1;
      errno = ENOENT;
    } else {
      fd = path_open(place->dest, path, O_PATH | O_DIRECTORY, place->rule);
      break;
    }
  }
  if (fd < 0 && errno == EXDEV)
    return error_set(error, "invalid", "the archive leads out of its destination at %s", path);
  return fd < 0 ? error_errno(error, "folder %s cannot be opened", path) : fd;
}

int place_parent(struct place *place, const char *name, const char **leaf, struct error *error) {
  const char *slash = strrchr(name, '/');
  *leaf = slash ? slash + 1 : name;
  if (!slash) return place->dest;
  size_t length = (size_t)(slash - name);
  if (place->flags & ARCHIVE_WHITEOUTS && (strncmp(name, ".wh.", 4) == 0 || memmem(name, length, "/.wh.", 5)))
    return error_set(error, "invalid", "the layer puts something beneath a whiteout: %s", name);
  if (place->cached && strncmp(place->cached, name, length) == 0 && place->cached[length] == '\0')
    return place->cached_fd;
  cleanup_free char *parent = xmalloc(length + 1);
  memcpy(parent, name, length);
  parent[length] = '\0';
  int fd = open_or_make(place, parent, error);
  if (fd >= 0) place_remember(place, parent, fd);
  return fd;
}

int place_clear(struct place *place, int parent, const char *leaf, int for_folder, struct error *error) {
  struct stat there;
  if (fstatat(parent, leaf, &there, AT_SYMLINK_NOFOLLOW) < 0)
    return errno == ENOENT ? 0 : error_errno(error, "%s cannot be replaced", leaf);
  if (place->flags & ARCHIVE_KEEP_FOLDERS && (S_ISDIR(there.st_mode) || for_folder))
    return error_set(error, "conflict", "%s is %s there and %s in the archive", leaf,
                     S_ISDIR(there.st_mode) ? "a folder" : "no folder", for_folder ? "a folder" : "no folder");
  /* The remembered folder may be within what goes away; `parent` may be that folder itself. */
  if ((S_ISDIR(there.st_mode) || S_ISLNK(there.st_mode)) && parent != place->cached_fd) forget_cached(place);
  return path_remove(parent, leaf, error);
}

static int make_opaque(int folder, struct error *error) {
  return fsetxattr(folder, "trusted.overlay.opaque", "y", 1, 0) < 0
             ? error_errno(error, "a folder cannot be made opaque")
             : 0;
}

int place_folder(struct place *place, int parent, const char *leaf, struct error *error) {
  int opaque = 0;
  if (mkdirat(parent, leaf, 0700) < 0) {
    struct stat there;
    if (errno != EEXIST || fstatat(parent, leaf, &there, AT_SYMLINK_NOFOLLOW) < 0)
      return error_errno(error, "folder %s cannot be made", leaf);
    if (!S_ISDIR(there.st_mode)) {
      /* A folder in place of a whiteout hides what the layers below have under its name. */
      opaque = place->flags & ARCHIVE_WHITEOUTS && S_ISCHR(there.st_mode) && there.st_rdev == 0;
      if (place_clear(place, parent, leaf, 1, error) < 0) return -1;
      if (mkdirat(parent, leaf, 0700) < 0) return error_errno(error, "folder %s cannot be made", leaf);
    }
  }
  cleanup_fd int fd = openat(parent, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return error_errno(error, "folder %s cannot be opened", leaf);
  if (opaque && make_opaque(fd, error) < 0) return -1;
  return take_fd(&fd);
}

int place_defer_time(struct place *place, const char *name, struct timespec mtime, struct error *error) {
  size_t length = strlen(name) + 1;
  if (place->times_bytes + length > TIMES_BYTES_LIMIT)
    return error_set(error, "exhausted", "the archive has more folders than can be remembered");
  if (place->times_count == place->times_capacity) {
    place->times_capacity = place->times_capacity ? place->times_capacity * 2 : 256;
    place->times = xrealloc(place->times, place->times_capacity * sizeof *place->times);
  }
  place->times_bytes += length;
  place->times[place->times_count++] = (struct folder_time){xstrdup(name), mtime};
  return 0;
}

void place_set_times(struct place *place) {
  for (size_t i = place->times_count; i-- > 0;) {
    struct folder_time *folder = &place->times[i];
    /* It may be gone or something else by now: then it keeps the time it has. */
    cleanup_fd int fd = path_open(place->dest, folder->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, place->rule);
    struct timespec times[2] = {folder->mtime, folder->mtime};
    if (fd >= 0 && futimens(fd, times) < 0) continue;
  }
}

int place_whiteout(const struct place *place, int parent, const char *leaf, struct error *error) {
  const char *hidden = leaf + 4;
  if (strcmp(hidden, ".wh..opq") == 0) {
    if (parent == place->dest)
      return error_set(error, "unsupported", "the layer hides all layers below it (.wh..wh..opq at its top)");
    cleanup_fd int folder = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return folder < 0 ? error_errno(error, "a folder cannot be opened") : make_opaque(folder, error);
  }
  if (*hidden == '\0' || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0)
    return error_set(error, "invalid", "the layer has a whiteout without a proper name: %s", leaf);
  if (strncmp(hidden, ".wh.", 4) == 0)
    return error_set(error, "unsupported", "the layer has the unknown whiteout %s", leaf);
  if (mknodat(parent, hidden, S_IFCHR, 0) == 0) return 0;
  struct stat there;
  if (errno != EEXIST || fstatat(parent, hidden, &there, AT_SYMLINK_NOFOLLOW) < 0)
    return error_errno(error, "whiteout %s cannot be made", leaf);
  /* A whiteout means the layers below: what this layer has itself stays, but a folder no longer merges. */
  if (!S_ISDIR(there.st_mode)) return 0;
  cleanup_fd int folder = openat(parent, hidden, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  return folder < 0 ? error_errno(error, "folder %s cannot be opened", hidden) : make_opaque(folder, error);
}
