/*
 * Many streams over one byte channel (docs/PROTOCOL.md, "Guest channel"); the same code at both ends.
 *
 * The mux owns no loop: poll `mux_fd` for reading always and for writing while `mux_wants_write`, and call
 * `mux_read` and `mux_write`. Callbacks run inside these two, and may send, open and close streams, their own too.
 * The process must ignore SIGPIPE.
 * Everything is bounded: data of a stream by its credit, what waits for the channel by a high-water mark (data) and
 * a hard limit (control), streams by a count. A peer that breaks a rule ends the channel.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  MUX_WINDOW = 256 * 1024,     /* bytes of credit a stream has at first, each way */
  MUX_CHUNK = 32 * 1024,       /* largest data frame we send, so that streams take turns */
  MUX_QUEUE_DATA = 128 * 1024, /* data is no longer taken while this much waits for the channel */
  MUX_QUEUE_MAX = 8 << 20,
  MUX_STREAMS_MAX = 512,
};

enum mux_side { MUX_HOST, MUX_GUEST };

struct mux;
struct mux_stream;

struct mux_handler {
  /*
   * A frame of `stream` (its `user` pointer is mux_user()); NULL for stream 0. Never credit: that is the mux's own.
   * At the guest a request opens its stream before this is called. After exit and close the stream is gone when the
   * callback returns. Data frames: call mux_consumed when the bytes are out of the way.
   * Negative: the channel ends with `*why`.
   */
  int (*frame)(void *context, struct mux_stream *stream, uint8_t type, const uint8_t *payload, size_t length,
               const char **why);
  /* mux_send_data took less than it was given; now there is room again. */
  void (*writable)(void *context, struct mux_stream *stream);
  void *context;
};

/* `fd` is a non-blocking socket or character device; the mux does not close it. */
struct mux *mux_new(int fd, enum mux_side side, const struct mux_handler *handler);
/* Forgets all streams without callbacks. Not from within a callback. */
void mux_free(struct mux *mux);

int mux_fd(const struct mux *mux);
bool mux_wants_write(const struct mux *mux);

/*
 * Reads what is there, at most about 1 MiB a call. 1: go on, 0: the other end has closed,
 * negative: the channel is broken (mux_why() says how) and must be dropped.
 */
int mux_read(struct mux *mux);
/* Writes what waits; then streams that lacked room get their turn, one after another. Results as of mux_read. */
int mux_write(struct mux *mux);
const char *mux_why(const struct mux *mux);

/* Host: a new stream, its request to be sent first. NULL when too many are open. */
struct mux_stream *mux_open(struct mux *mux, void *user);
struct mux_stream *mux_find(struct mux *mux, uint32_t id);
/* Forgets the stream and tells the other end by a close frame. A session's end is exit instead (guest, mux_send). */
void mux_close(struct mux *mux, struct mux_stream *stream);

uint32_t mux_id(const struct mux_stream *stream);
void *mux_user(const struct mux_stream *stream);
void mux_set_user(struct mux_stream *stream, void *user);

/*
 * Sends a frame that takes no credit: request, reply, event, stdinEnd, resize, signal, exit. `stream` NULL: stream 0.
 * exit forgets the stream. Negative: the channel is broken.
 */
int mux_send(struct mux *mux, struct mux_stream *stream, uint8_t type, const void *payload, size_t length);
/* Bytes that mux_send_data would take now. */
size_t mux_room(const struct mux *mux, const struct mux_stream *stream);
/* Sends stdin, stdout or stderr bytes as far as there is room and says how many; for the rest `writable` is called. */
size_t mux_send_data(struct mux *mux, struct mux_stream *stream, uint8_t type, const void *data, size_t length);
/* Like data that did not fit: `writable` is called when there is room. */
void mux_want_room(struct mux_stream *stream);
/* The bytes of data frames are out of the way: their credit goes back to the sender. */
void mux_consumed(struct mux *mux, struct mux_stream *stream, size_t length);
/* Live streams. */
size_t mux_count(const struct mux *mux);
