#include "guest_root.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "user.h"
#include "util.h"

static const struct {
  const char *name;
  unsigned major, minor;
} nodes[] = {{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};

static const struct {
  const char *name, *target;
} links[] = {{"ptmx", "pts/ptmx"},
             {"fd", "/proc/self/fd"},
             {"stdin", "/proc/self/fd/0"},
             {"stdout", "/proc/self/fd/1"},
             {"stderr", "/proc/self/fd/2"}};

/* What every workload finds in /dev. An image's own nodes stay when /dev is not a mount. */
static int fill_dev(int root, struct error *error) {
  cleanup_fd int dev = rootfs_make_folder(root, "/dev", error);
  if (dev < 0) return -1;
  mode_t mask = umask(0);
  for (size_t i = 0; i < countof(nodes); i++)
    if (mknodat(dev, nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) < 0 && errno != EEXIST)
      return error_errno(error, "make /dev/%s", nodes[i].name);
  umask(mask);
  for (size_t i = 0; i < countof(links); i++)
    if (symlinkat(links[i].target, dev, links[i].name) < 0 && errno != EEXIST)
      return error_errno(error, "make /dev/%s", links[i].name);
  return 0;
}

/* By the supervisor's /proc: a namespace's settings are those of the process that opens the file. */
static int set_sysctls(const json_t *settings, struct error *error) {
  const char *key;
  const json_t *value;
  json_object_foreach((json_t *)(uintptr_t)settings, key, value) {
    char path[256];
    const char *text = json_string_value(value);
    if (!text || strstr(key, "..") || strchr(key, '/') || strlen(key) > 200)
      return error_set(error, "invalid", "sysctl \"%.100s\" is not settable", key);
    snprintf(path, sizeof path, "/proc/sys/%s", key);
    for (char *dot = path + strlen("/proc/sys/"); *dot; dot++)
      if (*dot == '.') *dot = '/';
    if (write_path(path, text, error) < 0) return -1;
  }
  return 0;
}

/* Nothing can be read there: /dev/null over a file, an empty read-only folder over a folder. Missing: fine. */
static int mask(const char *path, struct error *error) {
  struct stat stat_of;
  if (lstat(path, &stat_of) < 0) return errno == ENOENT || errno == ENOTDIR ? 0 : error_errno(error, "mask %s", path);
  int result = S_ISDIR(stat_of.st_mode) ? mount("tmpfs", path, "tmpfs", MS_RDONLY, "size=0,mode=755")
                                        : mount("/dev/null", path, NULL, MS_BIND, NULL);
  return result < 0 ? error_errno(error, "mask %s", path) : 0;
}

static int make_read_only(const char *path, struct error *error) {
  struct statvfs have;
  if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0)
    return errno == ENOENT || errno == ENOTDIR ? 0 : error_errno(error, "make %s read-only", path);
  if (statvfs(path, &have) < 0) return error_errno(error, "make %s read-only", path);
  unsigned long kept = have.f_flag & (ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_NOATIME | ST_NODIRATIME | ST_RELATIME);
  if (mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | kept, NULL) < 0)
    return error_errno(error, "make %s read-only", path);
  return 0;
}

static int each(const json_t *paths, int (*apply)(const char *path, struct error *error), struct error *error) {
  for (size_t i = 0; i < json_array_size(paths); i++) {
    const char *path = json_string_value(json_array_get(paths, i));
    if (!path || *path != '/') return error_set(error, "invalid", "masked and read-only paths are absolute");
    if (apply(path, error) < 0) return -1;
  }
  return 0;
}

/* The new root on top of the old one, then the old one away. */
static int pivot(int root, struct error *error) {
  if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
    return error_errno(error, "enter the root file system");
  return 0;
}

static int lay_files(int root, const struct root_plan *plan, struct error *error) {
  for (size_t i = 0; i < json_array_size(plan->files); i++) {
    const char *target;
    if (need_string(json_array_get(plan->files, i), "target", &target, error) < 0) return -1;
    cleanup_free char *source = rootfs_file(plan->rootfs, i);
    if (mount_file(root, source, target, false, error) < 0) return -1;
  }
  return 0;
}

int root_enter(void *context, struct error *error) {
  const struct root_plan *plan = context;
  const json_t *linux_part = json_object_get(plan->oci, "linux"), *mounts = json_object_get(plan->oci, "mounts");
  const char *hostname = want_string(plan->oci, "hostname", NULL);

  /* After the fork into the cgroup, so that the cgroup is the namespace's root. */
  if (unshare(CLONE_NEWCGROUP) < 0) return error_errno(error, "cgroup namespace");
  if (hostname && sethostname(hostname, strlen(hostname)) < 0) return error_errno(error, "set hostname %s", hostname);
  if (set_sysctls(json_object_get(linux_part, "sysctl"), error) < 0) return -1;
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) return error_errno(error, "private mounts");

  cleanup_fd int root = open(plan->rootfs->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return error_errno(error, "open the root file system");
  for (size_t i = 0; i < json_array_size(mounts); i++)
    if (mount_spec(root, json_array_get(mounts, i), error) < 0) return -1;
  if (fill_dev(root, error) < 0 || lay_files(root, plan, error) < 0 || pivot(root, error) < 0) return -1;

  if (each(json_object_get(linux_part, "readonlyPaths"), make_read_only, error) < 0 ||
      each(json_object_get(linux_part, "maskedPaths"), mask, error) < 0)
    return -1;
  bool read_only = want_bool(json_object_get(plan->oci, "root"), "readonly", false);
  if (read_only && mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0)
    return error_errno(error, "make the root file system read-only");
  return 0;
}
