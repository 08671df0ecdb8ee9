#include "guest_rootfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util.h"

enum { disk_patience_ms = 5000 };

static bool has_serial(const char *name, const char *serial) {
  char path[300], text[64];
  snprintf(path, sizeof path, "/sys/block/%.100s/serial", name);
  cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (length < 0) return false;
  text[length] = 0;
  text[strcspn(text, "\n")] = 0;
  return strcmp(text, serial) == 0;
}

/* The device node of the disk with this serial; it may be on its way still. */
static char *find_disk(const char *serial, struct error *error) {
  int64_t end = monotonic_ms() + disk_patience_ms;
  do {
    DIR *disks = opendir("/sys/block");
    char *found = NULL;
    for (struct dirent *entry; disks && !found && (entry = readdir(disks));)
      if (strncmp(entry->d_name, "vd", 2) == 0 && has_serial(entry->d_name, serial))
        found = xprintf("/dev/%s", entry->d_name);
    if (disks) closedir(disks);
    if (found) return found;
    usleep(1000);
  } while (monotonic_ms() < end);
  error_set(error, "not_found", "the guest has no disk with the serial %.40s", serial);
  return NULL;
}

static int mount_disk(const char *serial, const char *target, const char *type, unsigned long flags,
                      struct error *error) {
  cleanup_free char *device = find_disk(serial, error);
  if (!device) return -1;
  if (mkdir(target, 0755) < 0 && errno != EEXIST) return error_errno(error, "make %s", target);
  /* No thread that zeroes inode tables behind the workload's back. */
  const char *data = strcmp(type, "ext4") == 0 ? "noinit_itable" : NULL;
  if (mount(device, target, type, flags, data) < 0) return error_errno(error, "mount disk %s as %s", serial, type);
  return 0;
}

static int make(const char *path, struct error *error) {
  return mkdir(path, 0755) < 0 && errno != EEXIST ? error_errno(error, "make %s", path) : 0;
}

/* The overlay's root has the owner and mode of `upper`: at first those of the image's root. */
static int make_upper(const char *upper, const char *lower, struct error *error) {
  struct stat root;
  if (mkdir(upper, 0755) < 0) return errno == EEXIST ? 0 : error_errno(error, "make %s", upper);
  if (stat(lower, &root) < 0 || chown(upper, root.st_uid, root.st_gid) < 0 || chmod(upper, root.st_mode & 07777) < 0)
    return error_errno(error, "give %s the image's owner and mode", upper);
  return 0;
}

static int mount_all(const char *folder, const char *target, const char *image, const char *layer,
                     struct error *error) {
  cleanup_free char *lower = xprintf("%s/image", folder), *disk = xprintf("%s/layer", folder);
  cleanup_free char *upper = xprintf("%s/upper", disk), *work = xprintf("%s/work", disk);
  cleanup_free char *options = xprintf("lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, work);
  if (mount_disk(image, lower, "erofs", MS_RDONLY, error) < 0 || mount_disk(layer, disk, "ext4", 0, error) < 0)
    return -1;
  if (make_upper(upper, lower, error) < 0 || make(work, error) < 0 || make(target, error) < 0) return -1;
  if (mount("overlay", target, "overlay", 0, options) < 0) return error_errno(error, "mount the overlay");
  return 0;
}

int rootfs_mount(struct rootfs *rootfs, const char *id, const json_t *spec, struct error *error) {
  if (rootfs->folder) return 0;
  const char *image, *layer, *kind = want_string(spec, "kind", "");
  if (strcmp(kind, "disk") != 0)
    return error_set(error, "unsupported", "a guest's root file system is of kind disk, not \"%.40s\"", kind);
  if (need_string(spec, "image", &image, error) < 0 || need_string(spec, "layer", &layer, error) < 0) return -1;
  rootfs->folder = xprintf("/run/gantry/workloads/%.64s", id);
  rootfs->path = xprintf("%s/root", rootfs->folder);
  if ((mkdir(rootfs->folder, 0700) < 0 && errno != EEXIST) ||
      mount_all(rootfs->folder, rootfs->path, image, layer, error) < 0) {
    if (error && !error->code) error_errno(error, "make %s", rootfs->folder);
    rootfs_unmount(rootfs, NULL);
    return -1;
  }
  return 0;
}

char *rootfs_file(const struct rootfs *rootfs, size_t index) { return xprintf("%s/file-%zu", rootfs->folder, index); }

int rootfs_provide(struct rootfs *rootfs, const json_t *files, struct error *error) {
  for (size_t i = 0; i < json_array_size(files); i++) {
    const char *content;
    const json_t *file = json_array_get(files, i);
    if (need_string(file, "content", &content, error) < 0) return -1;
    cleanup_free char *path = rootfs_file(rootfs, i);
    unlink(path);
    cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write_all(fd, content, strlen(content)) < 0 ||
        fchmod(fd, (mode_t)want_int(file, "mode", 0644) & 07777) < 0)
      return error_errno(error, "write provided file %zu", i);
  }
  return 0;
}

int rootfs_unmount(struct rootfs *rootfs, struct error *error) {
  static const char *const parts[] = {"root", "layer", "image"};
  int result = 0;
  for (size_t i = 0; rootfs->folder && i < countof(parts); i++) {
    cleanup_free char *path = xprintf("%s/%s", rootfs->folder, parts[i]);
    /* The overlay goes with what is mounted in it; should somebody hold it still, the disks say so. */
    int flags = UMOUNT_NOFOLLOW | (i == 0 ? MNT_DETACH : 0);
    if (umount2(path, flags) == 0 || errno == EINVAL || errno == ENOENT) continue;
    if (result == 0) result = error_errno(error, "unmount %s", path);
  }
  if (result < 0) return result;
  free(rootfs->folder);
  free(rootfs->path);
  *rootfs = (struct rootfs){0};
  return 0;
}
