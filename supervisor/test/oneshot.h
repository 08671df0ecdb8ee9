/* Runs a one-shot mode as its own process, with files as its standard streams. */
#pragma once
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../util.h"
#include "check.h"

struct oneshot {
  int status;      /* as waitpid has it */
  char *out, *err; /* to be freed */
  size_t out_length;
};

static inline struct oneshot oneshot(int (*mode)(int, char **), char *const argv[], const void *input,
                                     size_t length) {
  int in = memfd_create("in", 0), out = memfd_create("out", 0), err = memfd_create("err", 0);
  CHECK(in >= 0 && out >= 0 && err >= 0);
  CHECK(write_all(in, input, length) == 0 && lseek(in, 0, SEEK_SET) == 0);
  int argc = 0;
  while (argv[argc])
    argc++;
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    dup2(in, 0);
    dup2(out, 1);
    dup2(err, 2);
    optind = 1;
    _exit(mode(argc, (char **)argv));
  }
  struct oneshot result = {0};
  CHECK(waitpid(child, &result.status, 0) == child);
  CHECK(lseek(out, 0, SEEK_SET) == 0 && lseek(err, 0, SEEK_SET) == 0);
  result.out = read_all(out, 64 << 20, &result.out_length, NULL);
  result.err = read_all(err, 1 << 20, NULL, NULL);
  CHECK(result.out && result.err);
  close(in);
  close(out);
  close(err);
  return result;
}

static inline void oneshot_free(struct oneshot *result) {
  free(result->out);
  free(result->err);
}
