#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "util.h"
#include "vm_spawn.h"

void vm_descriptors_init(struct vm_descriptors *descriptors) {
  for (int i = 0; i < VM_FD_END; i++) descriptors->fds[i] = -1;
}

void vm_descriptors_close(struct vm_descriptors *descriptors) {
  for (int i = 0; i < VM_FD_END; i++)
    if (descriptors->fds[i] >= 0) close(descriptors->fds[i]);
  vm_descriptors_init(descriptors);
}

int vm_descriptors_set(struct vm_descriptors *descriptors, int place, int fd, struct error *error) {
  int moved = fcntl(fd, F_DUPFD_CLOEXEC, VM_FD_END);
  if (moved < 0) error_errno(error, "duplicate a descriptor");
  close(fd);
  if (moved < 0) return -1;
  descriptors->fds[place] = moved;
  return 0;
}

static int open_disk(const struct vm_disk *disk, struct error *error) {
  struct stat facts;
  cleanup_fd int fd =
      open(disk->path, (disk->read_only ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return error_errno(error, "open disk %s", disk->path);
  if (fstat(fd, &facts) < 0) return error_errno(error, "stat disk %s", disk->path);
  if (!S_ISREG(facts.st_mode)) return error_set(error, "invalid", "disk %s is not a regular file", disk->path);
  return take_fd(&fd);
}

static int open_tap(const char *name, struct error *error) {
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
  if (strlen(name) >= IFNAMSIZ) return error_set(error, "invalid", "link name %s is too long", name);
  /* TUNSETIFF would make a link that is not there. */
  cleanup_free char *known = xprintf("/sys/class/net/%s/tun_flags", name);
  if (access(known, F_OK) < 0) return error_set(error, "not_found", "there is no tap link %s", name);
  strcpy(request.ifr_name, name);
  cleanup_fd int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return error_errno(error, "open /dev/net/tun");
  if (ioctl(fd, TUNSETIFF, &request) < 0) return error_errno(error, "take the tap %s", name);
  return take_fd(&fd);
}

int vm_descriptors_open(struct vm_descriptors *descriptors, const struct vm_config *config, struct error *error) {
  for (size_t i = 0; i < config->disk_count; i++) {
    int fd = open_disk(&config->disks[i], error);
    if (fd < 0 || vm_descriptors_set(descriptors, VM_FD_DISK + (int)i, fd, error) < 0) return -1;
  }
  if (!config->tap) return 0;
  int fd = open_tap(config->tap, error);
  return fd < 0 ? -1 : vm_descriptors_set(descriptors, VM_FD_TAP, fd, error);
}
