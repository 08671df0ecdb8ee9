#include "vm_root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "util.h"

enum { frozen = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID };

/*
 * Binds `source` with all below it over `target` (relative to the current folder, made here), read-only. A device
 * keeps being one: `attributes` says.
 */
static int bind_frozen(const char *source, const char *target, uint64_t attributes, struct error *error) {
  struct stat facts;
  if (stat(source, &facts) < 0) return error_errno(error, "stat %s", source);
  if (S_ISDIR(facts.st_mode)) {
    if (mkdir(target, 0755) < 0 && errno != EEXIST) return error_errno(error, "make folder %s", target);
  } else {
    cleanup_fd int file = open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0444);
    if (file < 0) return error_errno(error, "make file %s", target);
  }
  if (mount(source, target, NULL, MS_BIND | MS_REC, NULL) < 0) return error_errno(error, "bind %s", source);
  struct mount_attr attr = {.attr_set = attributes};
  if (syscall(SYS_mount_setattr, AT_FDCWD, target, AT_RECURSIVE, &attr, sizeof attr) < 0)
    return error_errno(error, "make the bind of %s read-only", source);
  return 0;
}

/* /lib and the like: a link into /usr as on the host, or a folder of its own. */
static int copy_top(const char *name, struct error *error) {
  char path[64], link[256];
  struct stat facts;
  snprintf(path, sizeof path, "/%s", name);
  if (lstat(path, &facts) < 0) return 0;
  if (!S_ISLNK(facts.st_mode)) return bind_frozen(path, name, frozen | MOUNT_ATTR_NODEV, error);
  ssize_t length = readlink(path, link, sizeof link - 1);
  if (length < 0) return error_errno(error, "read the link %s", path);
  link[length] = 0;
  if (symlink(link, name) < 0) return error_errno(error, "make the link %s", name);
  return 0;
}

static int bind_if_there(const char *source, const char *target, struct error *error) {
  return access(source, F_OK) < 0 ? 0 : bind_frozen(source, target, frozen | MOUNT_ATTR_NODEV, error);
}

static int make_kvm(const struct vm_config *config, struct error *error) {
  struct stat facts;
  if (stat("/dev/kvm", &facts) < 0) return error_errno(error, "stat /dev/kvm");
  if (mknod("dev/kvm", S_IFCHR | 0600, facts.st_rdev) < 0) return error_errno(error, "make dev/kvm");
  if (chown("dev/kvm", (uid_t)config->uid, (gid_t)config->gid) < 0) return error_errno(error, "own dev/kvm");
  return 0;
}

static int fill(const struct vm_config *config, bool kvm, struct error *error) {
  static const char *const tops[] = {"lib", "lib32", "lib64", "libx32", "bin", "sbin"};
  if (bind_frozen("/usr", "usr", frozen | MOUNT_ATTR_NODEV, error) < 0) return -1;
  for (size_t i = 0; i < countof(tops); i++)
    if (copy_top(tops[i], error) < 0) return -1;
  if (mkdir("etc", 0755) < 0 || mkdir("dev", 0755) < 0 || mkdir("guest", 0755) < 0 || mkdir("tmp", 0755) < 0)
    return error_errno(error, "make folders of QEMU's root");
  if (bind_if_there("/etc/ld.so.cache", "etc/ld.so.cache", error) < 0 ||
      bind_if_there("/etc/alternatives", "etc/alternatives", error) < 0 ||
      bind_frozen(config->kernel, "guest/kernel", frozen | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, error) < 0 ||
      bind_frozen(config->initrd, "guest/initrd", frozen | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, error) < 0 ||
      bind_frozen("/dev/null", "dev/null", frozen | MOUNT_ATTR_NOEXEC, error) < 0 ||
      bind_frozen("/dev/urandom", "dev/urandom", frozen | MOUNT_ATTR_NOEXEC, error) < 0)
    return -1;
  return kvm ? make_kvm(config, error) : 0;
}

int vm_root_enter(const struct vm_config *config, bool kvm, struct error *error) {
  cleanup_free char *root = xprintf("%s/root", config->folder);
  umask(022);
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) return error_errno(error, "make mounts private");
  if (mkdir(root, 0700) < 0 && errno != EEXIST) return error_errno(error, "make folder %s", root);
  if (mount("gantry", root, "tmpfs", MS_NOSUID | MS_NOEXEC, "size=64k,nr_inodes=64,mode=755") < 0)
    return error_errno(error, "mount QEMU's root");
  if (chdir(root) < 0) return error_errno(error, "enter %s", root);
  if (fill(config, kvm, error) < 0) return -1;
  if (mount(NULL, ".", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC, NULL) < 0)
    return error_errno(error, "make QEMU's root read-only");
  if (syscall(SYS_pivot_root, ".", ".") < 0) return error_errno(error, "pivot_root into QEMU's root");
  if (umount2(".", MNT_DETACH) < 0) return error_errno(error, "leave the host's root");
  if (chdir("/") < 0) return error_errno(error, "enter /");
  return 0;
}
