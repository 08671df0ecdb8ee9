#include "vm_share.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "util.h"
#include "vm_config.h"

static int bind_share(const struct vm_share *share, const char *target, struct error *error) {
  struct stat facts;
  cleanup_fd int fd = open(share->source, O_PATH | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &facts) < 0) return error_errno(error, "open shared %s", share->source);
  if (S_ISDIR(facts.st_mode)) {
    if (mkdir(target, 0755) < 0) return error_errno(error, "make %s", target);
  } else if (S_ISREG(facts.st_mode)) {
    cleanup_fd int file = open(target, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
    if (file < 0) return error_errno(error, "make %s", target);
  } else {
    return error_set(error, "unsupported", "%s cannot be shared with a VM: it is neither a folder nor a regular file",
                     share->source);
  }
  char source[64];
  snprintf(source, sizeof source, "/proc/self/fd/%d", fd);
  if (mount(source, target, NULL, MS_BIND | MS_REC, NULL) < 0) return error_errno(error, "bind %s", share->source);
  struct mount_attr attr = {.attr_set = MOUNT_ATTR_NODEV | (share->read_only ? MOUNT_ATTR_RDONLY : 0)};
  if (syscall(SYS_mount_setattr, AT_FDCWD, target, AT_RECURSIVE, &attr, sizeof attr) < 0)
    return error_errno(error, "set the mount flags of %s", share->source);
  return 0;
}

int vm_share_mount(const struct vm_config *config, struct error *error) {
  if (config->share_count == 0) return 0;
  cleanup_free char *tree = xprintf("%s/shares", config->folder);
  if (unshare(CLONE_NEWNS) < 0) return error_errno(error, "unshare the mount namespace");
  /* What the host unmounts later goes here too. */
  if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) return error_errno(error, "make mounts slaves");
  if (mkdir(tree, 0700) < 0 && errno != EEXIST) return error_errno(error, "make folder %s", tree);
  if (mount("gantry", tree, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k,nr_inodes=1k,mode=755") < 0)
    return error_errno(error, "mount the folder of shares");
  for (size_t i = 0; i < config->share_count; i++) {
    cleanup_free char *target = xprintf("%s/%zu", tree, i);
    if (bind_share(&config->shares[i], target, error) < 0) return -1;
  }
  if (mount(NULL, tree, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
    return error_errno(error, "make the folder of shares read-only");
  return 0;
}

static int move_up(int *fd, struct error *error) {
  int moved = fcntl(*fd, F_DUPFD_CLOEXEC, VM_FD_END);
  if (moved < 0) return error_errno(error, "duplicate a descriptor");
  close(*fd);
  *fd = moved;
  return 0;
}

int vm_share_sockets(const struct vm_config *config, int *listener, int *connected, struct error *error) {
  /* A socket's address holds only 107 bytes: the way leads through the folder's descriptor. */
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  cleanup_free char *path = xprintf("%s/fs", config->folder);
  cleanup_fd int folder = open(config->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
  cleanup_fd int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  cleanup_fd int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (folder < 0 || listening < 0 || client < 0) return error_errno(error, "make sockets in %s", config->folder);
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/fs", folder);
  unlink(path);
  mode_t old = umask(0177);
  int bound = bind(listening, (struct sockaddr *)&address, sizeof address);
  umask(old);
  if (bound < 0 || listen(listening, 1) < 0 || connect(client, (struct sockaddr *)&address, sizeof address) < 0)
    return error_errno(error, "make the socket %s", path);
  /* Nobody else can connect from now on. */
  unlink(path);
  if (move_up(&listening, error) < 0 || move_up(&client, error) < 0) return -1;
  *listener = take_fd(&listening);
  *connected = take_fd(&client);
  return 0;
}
