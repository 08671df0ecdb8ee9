/* Look-ups inside a root file system that nobody trusts: pure over a descriptor of its root folder. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"

/*
 * openat2 with RESOLVE_IN_ROOT: `path` and every symlink in it are meant inside `root`. Never a device or a FIFO that
 * blocks (O_NONBLOCK is added for reading). The descriptor, or -1 with errno.
 */
int rootfs_open(int root, const char *path, int flags, mode_t mode);
/* Makes the folder `path` (absolute, inside the root) and its parents, 0755 less the umask; returns it opened O_PATH. */
int rootfs_make_folder(int root, const char *path, struct error *error);

struct user {
  uint32_t uid, gid;
  /* Supplementary groups, the primary one first. */
  uint32_t *groups;
  size_t group_count;
  /* From /etc/passwd, "/" when it is not there. */
  char *home;
};

/*
 * `user[:group]` as Docker reads it: names or numbers, "" is root. A named user brings the groups that list it unless
 * a group is given; an unknown number is taken as it is. Code "invalid" for an unknown name.
 */
int user_lookup(int root, const char *text, struct user *user, struct error *error);
void user_free(struct user *user);
