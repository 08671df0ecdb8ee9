/* Writes pax archives: entries with their attributes, contents, end mark. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "buffer.h"
#include "error.h"

struct tar_writer {
  int fd;
  char *memory;
  size_t used;
  struct buffer pax; /* records of the entry at hand */
};

void tar_writer_open(struct tar_writer *writer, int fd);
void tar_writer_close(struct tar_writer *writer);

/*
 * Writes the header of one entry: `type` as in tar, `target` of '1' and '2', attributes read from `xattrs_of` (-1:
 * none). What ustar cannot hold (long names, large numbers, fractions of a second) goes into a pax header before it.
 */
int tar_write_entry(struct tar_writer *writer, char type, const char *name, const char *target,
                    const struct stat *facts, int xattrs_of, struct error *error);

/* Writes exactly `size` bytes of the file `from`, zeros for what has gone meanwhile, and the padding. */
int tar_write_content(struct tar_writer *writer, int from, uint64_t size, struct error *error);

/* The end mark; everything has been written when it returns. */
int tar_write_end(struct tar_writer *writer, struct error *error);

/* Names under which files with several links were written first. Zeroed: empty. */
struct link_table {
  struct link_entry {
    dev_t dev;
    ino_t ino;
    char *name;
  } * slots;
  size_t count, capacity, bytes;
};

/* The name that this file had before, or NULL: then `name` is kept for it (while there is room). */
const char *link_table_find(struct link_table *table, const struct stat *facts, const char *name);
void link_table_free(struct link_table *table);
