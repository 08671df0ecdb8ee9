/*
 * The tar format, without files: headers to entries and back. Reads ustar, GNU (long names, base 256) and pax;
 * everything in an archive is hostile, so every field is checked and every length bounded.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "archive.h"

#define TAR_BLOCK 512

/* One 512-byte header block as it is on the tape (POSIX.1-1988). */
struct tar_header {
  char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, linkname[100];
  char magic[6], version[2], uname[32], gname[32], devmajor[8], devminor[8], prefix[155], padding[12];
};

/* An extended attribute; `name` and `value` point into the entry's pax data. */
struct tar_xattr {
  const char *name;
  const char *value;
  size_t size;
};

#define TAR_XATTRS 128

/* What a header and its extensions say, checked. `type` is '0', '1' … '6'. */
struct tar_entry {
  char type;
  /* Without leading and trailing slash, "." and ".." parts; "" is the destination itself. */
  char *name;
  /* Of a symlink as it stands, of a hard link as `name`; never empty. NULL for all else. */
  char *target;
  mode_t mode; /* permission bits */
  uid_t uid;
  gid_t gid;
  uint64_t size; /* bytes of content that follow; 0 for all but '0' */
  struct timespec mtime;
  dev_t device; /* of '3' and '4' */
  struct tar_xattr xattrs[TAR_XATTRS];
  size_t xattr_count;
  uint64_t xattr_skipped; /* attributes that were there but are not let through */
};

/* What pax records say of an entry; `set` tells which fields are there. */
struct tar_pax {
  enum { PAX_PATH = 1, PAX_LINKPATH = 2, PAX_SIZE = 4, PAX_UID = 8, PAX_GID = 16, PAX_MTIME = 32 } set;
  const char *path, *linkpath;
  uint64_t size, uid, gid;
  struct timespec mtime;
  struct tar_xattr xattrs[TAR_XATTRS];
  size_t xattr_count;
  uint64_t xattr_skipped;
};

/* An archive that is being read. */
struct tar_reader {
  ssize_t (*source)(void *arg, void *buffer, size_t size); /* as read(2) */
  void *arg;
  struct archive_limits limits;
  int end_optional;
  /* The reader's own from here on. */
  char *buffer;
  size_t start, end;
  uint64_t bytes, entries;
  uint64_t content, padding; /* of the current entry, yet to be read */
  struct tar_pax global, pax;
  char *pax_data, *long_name, *long_target, *name, *target;
};

/* Starts reading; the caller has set source, arg, limits and end_optional, the rest is zero. */
int tar_reader_open(struct tar_reader *reader, struct error *error);
void tar_reader_close(struct tar_reader *reader);

/* Reads up to the next entry, skipping what is left of the one before. 1: there is one, valid until the next
 * call; 0: the archive has ended, in order. */
int tar_next(struct tar_reader *reader, struct tar_entry *entry, struct error *error);

/* Gives the next piece of the current entry's content without copying it; 1, or 0 at its end. */
int tar_content(struct tar_reader *reader, const char **data, size_t *size, struct error *error);

/* Parses pax records in `data`, which has a NUL behind it and is changed; with `global`, path, linkpath and
 * size are not taken, since they could only mislead. */
int tar_pax_parse(struct tar_pax *pax, char *data, size_t size, int global, struct error *error);

/* Whether an attribute of this name may pass between an archive and a file system. */
int tar_xattr_allowed(const char *name);

/* Number fields: octal or GNU base 256. -1 when malformed or, but for mtime, negative. */
int tar_number_parse(const char *field, size_t size, int64_t *value);
/* Writes octal when it fits, else base 256. */
void tar_number_format(char *field, size_t size, uint64_t value);

unsigned tar_checksum(const struct tar_header *header, int is_signed);
