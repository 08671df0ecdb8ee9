/*
 * The main workload's output to its log and to every attached client, and the clients' input back. Never blocks and
 * never waits for a client: one that lags more than 1 MiB behind gets a close frame and is dropped.
 */
#pragma once
#include "log.h"
#include "session.h"

enum { ATTACH_LAG_LIMIT = 1 << 20 };

struct fanout_handlers {
  void (*input)(void *context, const void *data, size_t length);
  void (*input_end)(void *context);
  void (*resize)(void *context, uint16_t rows, uint16_t columns);
  void (*signal)(void *context, int signal);
};

struct attachment;

struct fanout {
  struct log *log; /* may be NULL */
  const struct fanout_handlers *handlers;
  void *context;
  struct attachment *first;
  bool open_stdin, stdin_once;
  bool started, input_full;
  bool early_end; /* stdinEnd came before the start */
  struct buffer early;
  uint16_t early_rows, early_columns;
};

/* Zero the struct and set log, handlers, context; open_stdin and stdin_once are known at fanout_started(). */
void fanout_attach(struct fanout *fanout, struct link *link, const struct request *request);
/* The process runs: input that came early is handed on. */
void fanout_started(struct fanout *fanout, bool open_stdin, bool stdin_once);
void fanout_output(struct fanout *fanout, uint8_t type, const void *data, size_t length);
/* The window's size; kept until the start when it comes early. */
void fanout_resize(struct fanout *fanout, uint16_t rows, uint16_t columns);
/* Whoever takes the input is full, or not any more. */
void fanout_input_full(struct fanout *fanout, bool full);
/* The end: every attached client gets the exit frame. */
void fanout_exit(struct fanout *fanout, int32_t status, bool out_of_memory);
/* Drops all clients without an exit frame (the start failed). */
void fanout_close(struct fanout *fanout);
