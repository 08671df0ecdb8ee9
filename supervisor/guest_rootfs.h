/* A workload's root file system: a read-only EROFS disk below, an ext4 disk above, one overlay. */
#pragma once
#include <stdbool.h>

#include "json.h"

struct rootfs {
  char *folder; /* /run/gantry/workloads/<id>; NULL: not mounted */
  char *path;   /* the overlay */
};

/* Finds the disks by their serials (a moment of patience included) and mounts them. Again: nothing. */
int rootfs_mount(struct rootfs *rootfs, const char *id, const json_t *spec, struct error *error);
/* Writes the files that the engine provides where rootfs_file() finds them. */
int rootfs_provide(struct rootfs *rootfs, const json_t *files, struct error *error);
/* Path of the provided file number `index`; to be freed. */
char *rootfs_file(const struct rootfs *rootfs, size_t index);
/* Unmounts all of it; what is written is on the disk when it returns 0. */
int rootfs_unmount(struct rootfs *rootfs, struct error *error);
