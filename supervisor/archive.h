/*
 * Archives of a workload's files: stat, tar out, tar in.
 *
 * `root` is a descriptor of the folder that counts as "/": the process's own root after pivot_root, or any
 * folder. Every path is looked up with openat2(2) beneath it: symlinks are followed as a process in that root
 * would, never out of it, and never the magic links of /proc. The functions block; run them in a child of
 * their own when the tree, the input or the reader of the output is not trusted to be quick.
 *
 * All return 0 or, with `error` filled in, -1 (NULL).
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "error.h"

/* The facts of `path` (its last part not followed) as PathStat of src/ports/supervisor.ts; NULL on error. */
json_t *archive_stat(int root, const char *path, struct error *error);

/*
 * Writes `path` and all beneath it as a pax tar to `out_fd`.
 * Entries are named from the last part of `path`; "x/." names them "./…"; a trailing slash follows a symlink.
 * Kept: owners (numbers), modes, times, hard links, devices, fifos, extended attributes (but trusted.* and
 * user.overlay.*). Left out: sockets, and what vanishes while it is read.
 */
int archive_write_tar(int root, const char *path, int out_fd, struct error *error);

/* Bounds of one archive; ARCHIVE_LIMITS is the default. */
struct archive_limits {
  uint64_t bytes;   /* of the archive as it comes in, padding and headers included */
  uint64_t entries; /* headers of any kind */
  uint32_t depth;   /* parts of one name */
  uint32_t name;    /* bytes of one name or link target */
  uint32_t pax;     /* bytes of one pax header */
};

#define ARCHIVE_LIMITS \
  ((struct archive_limits){ \
      .bytes = UINT64_C(1) << 40, .entries = 10000000, .depth = 256, .name = 4095, .pax = 1 << 20})

enum archive_flags {
  /* OCI layer: .wh.NAME becomes an overlayfs whiteout, .wh..wh..opq an opaque folder. */
  ARCHIVE_WHITEOUTS = 1,
  /* An entry for the destination itself ("./") sets its owner, mode, times and attributes. */
  ARCHIVE_SET_DEST = 2,
  /* A folder is never replaced by something else, nor something else by a folder (what `cp` wants). */
  ARCHIVE_KEEP_FOLDERS = 4,
  /* The two zero blocks at the end may be missing. */
  ARCHIVE_END_OPTIONAL = 8,
};

/* What an archive came to. */
struct archive_result {
  uint64_t entries; /* files, folders, links … made */
  uint64_t bytes;   /* of file content */
  uint64_t dropped; /* extended attributes left out: filtered, or not known to the file system */
};

/*
 * Unpacks the tar on `in_fd` into the folder `dest` (symlinks followed). Reads ustar, GNU and pax archives up to end
 * of file. No entry lands outside `dest`: "..", and a symlink that leads out of it, are refused; a leading slash is
 * dropped. When `dest` is the root itself, absolute symlinks in an entry's parents count from it. Later entries
 * replace earlier ones. Missing parents are made (0755, root). What was unpacked before an error stays. `limits` and
 * `result` may be NULL.
 */
int archive_read_tar(int root, const char *dest, int in_fd, const struct archive_limits *limits, unsigned flags,
                     struct archive_result *result, struct error *error);

struct archive_below;
/* The same for a layer: missing parents, and the destination itself, are as the layers `below` have them. */
int archive_read_layer(int root, const char *dest, int in_fd, const struct archive_limits *limits, unsigned flags,
                       const struct archive_below *below, struct archive_result *result, struct error *error);
