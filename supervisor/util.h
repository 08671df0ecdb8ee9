/* Small things that every file needs: cleanup attributes, whole reads and writes, memory that cannot fail. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#include "error.h"

static inline void cleanup_fd_(int *fd) {
  if (*fd >= 0) close(*fd);
}
static inline void cleanup_free_(void *pointer) { free(*(void **)pointer); }

#define cleanup_fd __attribute__((cleanup(cleanup_fd_)))
#define cleanup_free __attribute__((cleanup(cleanup_free_)))
#define unused __attribute__((unused))
#define countof(array) (sizeof(array) / sizeof *(array))

/* Takes the descriptor out of a variable that would close it. */
static inline int take_fd(int *fd) {
  int taken = *fd;
  *fd = -1;
  return taken;
}

/* End the program when there is no memory: whatever a peer can make us hold is bounded elsewhere. */
void *xmalloc(size_t size);
void *xzalloc(size_t size);
void *xrealloc(void *pointer, size_t size);
char *xstrdup(const char *text);
char *xprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* All of it or -1 with errno; interrupted calls go on. For blocking descriptors. */
int write_all(int fd, const void *data, size_t length);
/* Reads until end of file, at most `limit` bytes (more: `exhausted`); NUL-terminated, to be freed. */
char *read_all(int fd, size_t limit, size_t *length, struct error *error);
/* read_all of a path. */
char *read_path(const char *path, size_t limit, size_t *length, struct error *error);
/* Writes a short text to an existing file (cgroup, proc, sysfs) in one write. */
int write_path(const char *path, const char *text, struct error *error);

int set_nonblocking(int fd);
/* Milliseconds of CLOCK_MONOTONIC, and of the wall clock since the epoch. */
int64_t monotonic_ms(void);
int64_t wall_ms(void);

/* One line to standard error with the time before it; it never fails. At most 1 MiB in a process's life. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
