/* Builds archives by hand, so that they can be wrong in every way. */
#pragma once
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../buffer.h"
#include "../tar.h"
#include "check.h"

#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

struct piece {
  char type;
  const char *name, *target, *content;
  /* Fixed up when zero. */
  const char *raw_size;
  unsigned mode, major, minor;
  int bad_checksum;
};

static inline void tape_pad(struct buffer *tape) {
  static const char zeros[TAR_BLOCK];
  buffer_append(tape, zeros, (TAR_BLOCK - buffer_length(tape) % TAR_BLOCK) % TAR_BLOCK);
}

static inline void tape_add_sized(struct buffer *tape, struct piece piece, const void *content, size_t size) {
  struct tar_header header = {.type = piece.type, .magic = "ustar", .version = {'0', '0'}};
  memcpy(header.name, piece.name, strnlen(piece.name, sizeof header.name));
  if (piece.target) memcpy(header.linkname, piece.target, strnlen(piece.target, sizeof header.linkname));
  tar_number_format(header.mode, 8, piece.mode ? piece.mode : piece.type == '5' ? 0755 : 0644);
  tar_number_format(header.uid, 8, 0);
  tar_number_format(header.gid, 8, 0);
  tar_number_format(header.size, 12, size);
  if (piece.raw_size) memcpy(header.size, piece.raw_size, 12);
  tar_number_format(header.mtime, 12, 1000000000);
  tar_number_format(header.devmajor, 8, piece.major);
  tar_number_format(header.devminor, 8, piece.minor);
  snprintf(header.checksum, 8, "%06o", tar_checksum(&header, 0) + (piece.bad_checksum ? 1 : 0));
  header.checksum[7] = ' ';
  buffer_append(tape, &header, sizeof header);
  buffer_append(tape, content, size);
  tape_pad(tape);
}

static inline void tape_add(struct buffer *tape, struct piece piece) {
  tape_add_sized(tape, piece, piece.content ? piece.content : "", piece.content ? strlen(piece.content) : 0);
}

static inline void tape_end(struct buffer *tape) {
  static const char zeros[2 * TAR_BLOCK];
  buffer_append(tape, zeros, sizeof zeros);
}

/* A pax header with one record. */
static inline void tape_pax(struct buffer *tape, char type, const char *key, const char *value) {
  char text[8192];
  size_t rest = strlen(key) + strlen(value) + 3, length = rest + 1;
  for (size_t digits = 1, limit = 10; length >= limit; limit *= 10)
    length = rest + ++digits;
  CHECK(length < sizeof text);
  snprintf(text, sizeof text, "%zu %s=%s\n", length, key, value);
  tape_add(tape, (struct piece){.type = type, .name = "pax", .content = text});
}
