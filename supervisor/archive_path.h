/* Looking up paths in a tree that is not trusted: everything by openat2(2) from a descriptor. */
#pragma once
#include <stdint.h>
#include <sys/types.h>

#include "error.h"

/* How symlinks on the way are taken. */
enum path_rule {
  PATH_IN_ROOT,     /* as in a chroot: absolute ones and ".." stay within the root */
  PATH_BENEATH,     /* followed, but an absolute one or one that leads out is an error */
  PATH_NO_SYMLINKS, /* none */
};

/* open(2) of `path` ("" is the root itself) under `root`; magic links are never followed. -1 with errno. */
int path_open(int root, const char *path, int flags, enum path_rule rule);

/*
 * Cleans a path the way Docker's cp does: absolute, ".." taken off the text. `folder` tells whether it ended
 * with a slash or "/.": then a symlink at its end is followed. Returns the path without leading slash ("" is the
 * root), to be freed; `name` is its last part, "." after "/." and "/" for the root.
 */
char *path_clean(const char *path, int *folder, char **name);

/* Opens (O_PATH) the folder that holds the last part of a cleaned path; `leaf` points into `path`. */
int path_open_parent(int root, const char *path, const char **leaf, enum path_rule rule);

/* Removes whatever `name` in the folder `parent` is, folders with all beneath; never follows a symlink. */
int path_remove(int parent, const char *name, struct error *error);
