/*
 * The workload's log in Docker's json-file form, with rotation. A write that fails (full disk) drops the lines and
 * counts their bytes; no half line stays in the file.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "error.h"

enum { LOG_PIECE = 16 << 10 };

struct log;

/* `max_size` bytes a file (0: no limit), `max_files` files in all, the current one included (at least 1). */
struct log *log_open(const char *path, int64_t max_size, int max_files, struct error *error);
/* Bytes of FRAME_STDOUT or FRAME_STDERR. A line is written when its newline or 16 KiB have come. */
void log_write(struct log *log, uint8_t type, const void *data, size_t length);
/* Writes the unfinished lines (end of the streams). */
void log_flush(struct log *log);
/* Bytes of output that are not in the log. */
int64_t log_dropped(const struct log *log);
/* Flushes, closes and frees; NULL is fine. */
void log_close(struct log *log);

/* One line of the log as JSON with its newline, appended to `out`; `time` is nanoseconds since the epoch. */
void log_format(struct buffer *out, uint8_t type, const void *text, size_t length, int64_t time);
