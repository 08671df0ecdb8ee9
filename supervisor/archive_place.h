/* Where the entries of an archive land: parents, and what they replace. */
#pragma once
#include <stddef.h>
#include <time.h>

#include "archive.h"
#include "archive_below.h"
#include "archive_path.h"

/* A folder's time, set when nothing is put into it any more. */
struct folder_time {
  char *name;
  struct timespec mtime;
};

/* A destination that is being filled. */
struct place {
  int dest;
  enum path_rule rule;
  unsigned flags;
  const struct archive_below *below; /* NULL: nothing */
  /* The folder last used, so that its many entries cost one look-up; fd -1: none. */
  char *cached;
  int cached_fd;
  struct folder_time *times;
  size_t times_count, times_capacity, times_bytes;
};

/* Opens `dest` under `root`. */
int place_open(struct place *place, int root, const char *dest, unsigned flags, struct error *error);
void place_close(struct place *place);

/* The folder that `name` goes into, made if it is missing; `*leaf` points into `name`. The descriptor stays the
 * place's own, valid until the next call. */
int place_parent(struct place *place, const char *name, const char **leaf, struct error *error);

/* Gives the destination itself the owner and mode that it has in the layers below. */
int place_inherit_dest(struct place *place, struct error *error);

/* Takes away what is at `leaf`, so that something else can be there. With `for_folder` the newcomer is a folder. */
int place_clear(struct place *place, int parent, const char *leaf, int for_folder, struct error *error);

/* Makes the folder `leaf` unless it is there. Returns a descriptor open for reading, the caller's. */
int place_folder(struct place *place, int parent, const char *leaf, struct error *error);

/* Remembers the folder `name` as just used; takes `fd` over. */
void place_remember(struct place *place, const char *name, int fd);

/* Sets a folder's time later, with place_set_times. */
int place_defer_time(struct place *place, const char *name, struct timespec mtime, struct error *error);
void place_set_times(struct place *place);

/* An overlayfs whiteout or opaque mark for the layer below; `leaf` begins with ".wh.". */
int place_whiteout(const struct place *place, int parent, const char *leaf, struct error *error);
