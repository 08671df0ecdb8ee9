/* The layers beneath one that is unpacked: what their folders look like that the archive takes for granted. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "error.h"

struct archive_below {
  int *roots; /* topmost first */
  size_t count;
};

/*
 * Adds the layer in `path`, beneath those added before. It is held as a read-only mount of its own that is nowhere in
 * the file system: whoever has the descriptor comes to no other place by it. Needs CAP_SYS_ADMIN.
 */
int archive_below_add(struct archive_below *below, const char *path, struct error *error);
void archive_below_free(struct archive_below *below);

/* Whether the layers below show a folder at `path` ("" is their root), whiteouts heeded; its facts then. */
bool archive_below_find(const struct archive_below *below, const char *path, struct stat *facts);
