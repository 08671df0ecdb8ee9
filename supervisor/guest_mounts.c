#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "guest_root.h"
#include "user.h"
#include "util.h"

static const struct {
  const char *name;
  unsigned long set, clear;
} options[] = {
    {"defaults", 0, 0},           {"ro", MS_RDONLY, 0},
    {"rw", 0, MS_RDONLY},         {"nosuid", MS_NOSUID, 0},
    {"suid", 0, MS_NOSUID},       {"nodev", MS_NODEV, 0},
    {"dev", 0, MS_NODEV},         {"noexec", MS_NOEXEC, 0},
    {"exec", 0, MS_NOEXEC},       {"sync", MS_SYNCHRONOUS, 0},
    {"async", 0, MS_SYNCHRONOUS}, {"dirsync", MS_DIRSYNC, 0},
    {"noatime", MS_NOATIME, 0},   {"atime", 0, MS_NOATIME},
    {"nodiratime", MS_NODIRATIME, 0}, {"diratime", 0, MS_NODIRATIME},
    {"relatime", MS_RELATIME, 0}, {"norelatime", 0, MS_RELATIME},
    {"strictatime", MS_STRICTATIME, 0}, {"nostrictatime", 0, MS_STRICTATIME},
    {"bind", MS_BIND, 0},         {"rbind", MS_BIND | MS_REC, 0},
};

static const struct {
  const char *name;
  unsigned long flags;
} propagations[] = {
    {"private", MS_PRIVATE}, {"rprivate", MS_PRIVATE | MS_REC}, {"shared", MS_SHARED},
    {"rshared", MS_SHARED | MS_REC}, {"slave", MS_SLAVE}, {"rslave", MS_SLAVE | MS_REC},
    {"unbindable", MS_UNBINDABLE}, {"runbindable", MS_UNBINDABLE | MS_REC},
};

struct parsed {
  unsigned long flags, propagation;
  char data[1024];
};

/* What is neither a flag nor a propagation is the file system's own. */
static int parse_options(const json_t *list, struct parsed *parsed, struct error *error) {
  for (size_t i = 0; i < json_array_size(list); i++) {
    const char *text = json_string_value(json_array_get(list, i));
    bool known = false;
    if (!text) return error_set(error, "invalid", "a mount option is no text");
    for (size_t k = 0; k < countof(options) && !known; k++) {
      if (strcmp(text, options[k].name) != 0) continue;
      parsed->flags = (parsed->flags & ~options[k].clear) | options[k].set;
      known = true;
    }
    for (size_t k = 0; k < countof(propagations) && !known; k++) {
      if (strcmp(text, propagations[k].name) != 0) continue;
      parsed->propagation = propagations[k].flags;
      known = true;
    }
    if (known) continue;
    size_t used = strlen(parsed->data);
    if (used + strlen(text) + 2 > sizeof parsed->data) return error_set(error, "invalid", "too many mount options");
    sprintf(parsed->data + used, "%s%s", used ? "," : "", text);
  }
  return 0;
}

/* A new empty file at `path` with its parents. */
static int make_file(int root, const char *path, struct error *error) {
  cleanup_free char *copy = xstrdup(path);
  char *name = strrchr(copy, '/');
  if (!name || !name[1]) return error_set(error, "invalid", "mount target \"%.200s\" is no file's path", path);
  *name++ = 0;
  cleanup_fd int folder = rootfs_make_folder(root, *copy ? copy : "/", error);
  if (folder < 0) return -1;
  cleanup_fd int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd < 0 && errno != EEXIST) return error_errno(error, "make %s in the image", path);
  return 0;
}

/* The target as a descriptor: a folder, or a file where a file is to be laid over it. */
static int open_target(int root, const char *path, bool file, struct error *error) {
  if (!file) return rootfs_make_folder(root, path, error);
  int fd = rootfs_open(root, path, O_PATH, 0);
  if (fd < 0 && errno == ENOENT) {
    if (make_file(root, path, error) < 0) return -1;
    fd = rootfs_open(root, path, O_PATH, 0);
  }
  return fd < 0 ? error_errno(error, "mount target %s", path) : fd;
}

static void fd_path(char path[40], int fd) { snprintf(path, 40, "/proc/self/fd/%d", fd); }

/* Bind mounts take flags only by a second mount(2); those that the source's mount has are kept. */
static int remount(int root, const char *path, unsigned long flags, struct error *error) {
  char target[40];
  struct statvfs have;
  cleanup_fd int fd = rootfs_open(root, path, O_PATH, 0);
  if (fd < 0 || fstatvfs(fd, &have) < 0) return error_errno(error, "mount target %s", path);
  fd_path(target, fd);
  unsigned long kept = have.f_flag & (ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_RDONLY | ST_NOATIME | ST_NODIRATIME | ST_RELATIME);
  if (mount(NULL, target, NULL, MS_REMOUNT | MS_BIND | kept | (flags & ~(unsigned long)MS_REC), NULL) < 0)
    return error_errno(error, "mount options of %s", path);
  return 0;
}

static int bind(int root, const char *source, const char *path, const struct parsed *parsed, struct error *error) {
  struct stat stat_of;
  char target[40];
  if (*parsed->data) return error_set(error, "invalid", "bind mount at %s: option %s is not known", path, parsed->data);
  if (stat(source, &stat_of) < 0) return error_errno(error, "bind mount at %s: source %s", path, source);
  cleanup_fd int fd = open_target(root, path, !S_ISDIR(stat_of.st_mode), error);
  if (fd < 0) return -1;
  fd_path(target, fd);
  if (mount(source, target, NULL, parsed->flags & (MS_BIND | MS_REC), NULL) < 0)
    return error_errno(error, "bind mount at %s", path);
  unsigned long flags = parsed->flags & ~(unsigned long)(MS_BIND | MS_REC);
  return flags ? remount(root, path, flags, error) : 0;
}

int mount_file(int root, const char *source, const char *target, bool read_only, struct error *error) {
  struct parsed parsed = {.flags = MS_BIND | (read_only ? MS_RDONLY : 0)};
  return bind(root, source, target, &parsed, error);
}

int mount_spec(int root, const json_t *entry, struct error *error) {
  struct parsed parsed = {0};
  const char *path, *type = want_string(entry, "type", "bind"), *source = want_string(entry, "source", type);
  if (need_string(entry, "destination", &path, error) < 0 ||
      parse_options(json_object_get(entry, "options"), &parsed, error) < 0)
    return -1;
  if (*path != '/') return error_set(error, "invalid", "mount target \"%.200s\" is not absolute", path);
  if (strcmp(type, "bind") == 0) parsed.flags |= MS_BIND;
  if (parsed.flags & MS_BIND) {
    if (bind(root, source, path, &parsed, error) < 0) return -1;
  } else {
    char target[40];
    if (strcmp(type, "cgroup") == 0) type = source = "cgroup2";
    cleanup_fd int fd = open_target(root, path, false, error);
    if (fd < 0) return -1;
    fd_path(target, fd);
    if (mount(source, target, type, parsed.flags, *parsed.data ? parsed.data : NULL) < 0)
      return error_errno(error, "mount %s at %s", type, path);
  }
  if (!parsed.propagation) return 0;
  cleanup_fd int fd = rootfs_open(root, path, O_PATH, 0);
  char target[40];
  fd_path(target, fd);
  if (fd < 0 || mount(NULL, target, NULL, parsed.propagation, NULL) < 0)
    return error_errno(error, "propagation of the mount at %s", path);
  return 0;
}
