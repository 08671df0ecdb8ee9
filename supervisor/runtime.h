/* Running crun (or runc): one command at a time as a child of the loop, detached, with the streams for its process. */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

#include "loop.h"
#include "error.h"

struct runtime {
  struct loop *loop;
  char *program;
  char *root;   /* its state folder */
  char *folder; /* for pid files, logs and sockets of single calls; they run in it */
  unsigned calls;
  int folder_fd; /* 0 until the first call */
};

struct runtime_call {
  struct runtime *runtime;
  struct child child;
  pid_t child_pid;
  char *pid_file, *log_file, *console_path;
  int console; /* listening, until the terminal has come */
  bool terminal;
  void (*done)(void *context, struct runtime_call *call);
  void *context;
  /* The results, for `done`: error.code is NULL on success. The descriptors are the caller's to take (-1 then). */
  struct error error;
  pid_t pid;
  int in, out, err; /* our ends; with a terminal `out` is its master */
};

/*
 * Runs `<program> <global options> <verb…> --detach --pid-file … [--console-socket …] <rest…>`; `verb` and `rest` are
 * NULL-terminated. `done` is called from the loop. -1: it could not be started at all, `done` is not called.
 */
int runtime_start(struct runtime *runtime, struct runtime_call *call, const char *const verb[],
                  const char *const rest[], bool terminal, bool open_stdin,
                  void (*done)(void *context, struct runtime_call *call), void *context, struct error *error);
/* Closes what was not taken and removes the call's files. Not before `done` was called. */
void runtime_call_free(struct runtime_call *call);
/* What the runtime logged of a failed execve after it had detached (exec does that); false when nothing. */
bool runtime_late_error(const struct runtime_call *call, struct error *error);
/*
 * The exit status for a container whose whole standard error is the runtime's own message that the execve of the first
 * process failed (run has no other way to say so then); 0 for any other text.
 */
int runtime_exec_failure(const char *text);
/* Runs `<program> <global options> <rest…>` to its end, throwing its output away; waits. Exit status, or -1. */
int runtime_wait(struct runtime *runtime, const char *const rest[]);
