#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"
#include "util.h"

/* The initramfs's root, still reachable after it was left; -1 once dropped. */
static int old_root = -1;

static int mount_on(const char *type, const char *target, unsigned long flags, const char *data,
                    struct error *error) {
  mkdir(target, 0755);
  if (mount(type, target, type, flags, data) == 0) return 0;
  return error_errno(error, "mount %s on %s", type, target);
}

/* pivot_root(2) cannot leave an initramfs, so its place is taken by a tmpfs. */
static int leave_initramfs(struct error *error) {
  if (mount_on("tmpfs", "/root", MS_NOSUID | MS_NODEV, "mode=755,size=1m", error) < 0) return -1;
  old_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (chdir("/root") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
    return error_errno(error, "leave the initramfs");
  return 0;
}

int guest_mount_all(struct error *error) {
  const unsigned long strict = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  umask(022);
  mkdir("/root", 0700);
  if (leave_initramfs(error) < 0 || mount_on("proc", "/proc", strict, NULL, error) < 0 ||
      mount_on("sysfs", "/sys", strict, NULL, error) < 0 ||
      mount_on("devtmpfs", "/dev", MS_NOSUID | MS_NOEXEC, "mode=755", error) < 0 ||
      mount_on("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755", error) < 0)
    return -1;
  if (mkdir("/run/gantry", 0700) < 0 || mkdir("/run/gantry/shares", 0755) < 0 ||
      mkdir("/run/gantry/workloads", 0755) < 0)
    return error_errno(error, "make /run/gantry");
  return 0;
}

static int load_module(int folder, const char *name, struct error *error) {
  char file[80];
  snprintf(file, sizeof file, "%.60s.ko", name);
  cleanup_fd int fd = openat(folder, file, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return error_errno(error, "kernel module %s", name);
  if (syscall(SYS_finit_module, fd, "", 0) == 0 || errno == EEXIST) return 0;
  return error_errno(error, "load kernel module %s", name);
}

int guest_load_modules(const char *group, struct error *error) {
  if (old_root < 0) return 0;
  cleanup_fd int folder = openat(old_root, "modules", O_PATH | O_DIRECTORY | O_CLOEXEC);
  cleanup_fd int list = folder < 0 ? -1 : openat(folder, "list", O_RDONLY | O_CLOEXEC);
  if (list < 0) return error_errno(error, "the initramfs's list of modules");
  cleanup_free char *text = read_all(list, 16384, NULL, error);
  if (!text) return -1;
  for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
    char *name = strchr(line, ' ');
    if (!name) continue;
    *name++ = 0;
    if (strcmp(line, group) == 0 && load_module(folder, name, error) < 0) return -1;
  }
  return 0;
}

void guest_drop_initramfs(void) {
  if (old_root < 0) return;
  cleanup_fd int folder = openat(old_root, "modules", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  cleanup_fd int listed = folder < 0 ? -1 : dup(folder);
  DIR *entries = listed < 0 ? NULL : fdopendir(take_fd(&listed));
  for (struct dirent *entry; entries && (entry = readdir(entries));)
    if (entry->d_name[0] != '.') unlinkat(folder, entry->d_name, 0);
  if (entries) closedir(entries);
  close(take_fd(&old_root));
}

/* The device of the port `name`, as "/dev/vport…"; false when it has not come yet. */
static bool find_port(const char *name, char *device, size_t size) {
  DIR *ports = opendir("/sys/class/virtio-ports");
  bool found = false;
  for (struct dirent *entry; ports && !found && (entry = readdir(ports));) {
    if (entry->d_name[0] == '.') continue;
    char path[300], text[128];
    snprintf(path, sizeof path, "/sys/class/virtio-ports/%.60s/name", entry->d_name);
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (length <= 0) continue;
    text[length] = 0;
    text[strcspn(text, "\n")] = 0;
    if (strcmp(text, name) != 0) continue;
    snprintf(device, size, "/dev/%.60s", entry->d_name);
    found = true;
  }
  if (ports) closedir(ports);
  return found;
}

int guest_open_port(const char *name, int timeout, struct error *error) {
  int64_t end = monotonic_ms() + timeout;
  char device[80];
  cleanup_fd int fd = -1;
  for (;; usleep(500)) {
    if (monotonic_ms() > end) return error_set(error, "deadline", "no virtio-serial port named %s", name);
    if (!find_port(name, device, sizeof device)) continue;
    fd = open(device, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0) break;
  }
  /* Until the host has opened its end, a read says end of file. */
  for (struct pollfd ready = {.fd = fd, .events = POLLOUT}; poll(&ready, 1, 0) >= 0; usleep(500)) {
    if (!(ready.revents & POLLHUP)) return take_fd(&fd);
    if (monotonic_ms() > end) break;
  }
  return error_set(error, "deadline", "nobody on the host has the port %s open", name);
}
