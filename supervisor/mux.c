/* Streams with credit over one byte channel. See mux.h. */
#include "mux.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "buffer.h"
#include "frame.h"
#include "util.h"

enum { read_step = 64 * 1024, read_turn = 1024 * 1024, grant_step = MUX_WINDOW / 4 };

struct mux_stream {
  uint32_t id;
  void *user;
  size_t send_credit; /* bytes we may send */
  size_t recv_credit; /* bytes the peer may send */
  size_t consumed;    /* bytes out of the way but not yet granted again */
  bool replied;       /* host: the reply came */
  bool blocked;       /* wants to be called when there is room */
};

struct mux {
  int fd;
  enum mux_side side;
  struct mux_handler handler;
  struct buffer in, out;
  struct mux_stream **streams; /* by rising id */
  size_t count, capacity;
  uint32_t last_id;       /* newest stream opened */
  uint32_t turn;          /* the stream that was last given room */
  size_t control_pending; /* host: requests on stream 0 without reply */
  const char *why;
};

static int broken(struct mux *mux, const char *why) {
  if (!mux->why) mux->why = why;
  return -1;
}

struct mux *mux_new(int fd, enum mux_side side, const struct mux_handler *handler) {
  struct mux *mux = xzalloc(sizeof *mux);
  mux->fd = fd;
  mux->side = side;
  mux->handler = *handler;
  return mux;
}

void mux_free(struct mux *mux) {
  if (!mux) return;
  for (size_t i = 0; i < mux->count; i++) free(mux->streams[i]);
  free(mux->streams);
  buffer_free(&mux->in);
  buffer_free(&mux->out);
  free(mux);
}

int mux_fd(const struct mux *mux) { return mux->fd; }
bool mux_wants_write(const struct mux *mux) { return buffer_length(&mux->out) > 0; }
const char *mux_why(const struct mux *mux) { return mux->why ? mux->why : "the other end has closed the channel"; }
size_t mux_count(const struct mux *mux) { return mux->count; }
uint32_t mux_id(const struct mux_stream *stream) { return stream->id; }
void *mux_user(const struct mux_stream *stream) { return stream->user; }
void mux_set_user(struct mux_stream *stream, void *user) { stream->user = user; }
void mux_want_room(struct mux_stream *stream) { stream->blocked = true; }

/* Index of the first stream whose id is at least `id`. */
static size_t lower_bound(const struct mux *mux, uint32_t id) {
  size_t low = 0, high = mux->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (mux->streams[middle]->id < id)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

struct mux_stream *mux_find(struct mux *mux, uint32_t id) {
  size_t i = lower_bound(mux, id);
  return i < mux->count && mux->streams[i]->id == id ? mux->streams[i] : NULL;
}

/* `id` is larger than every one before, so the array stays in order. */
static struct mux_stream *add_stream(struct mux *mux, uint32_t id, void *user) {
  if (mux->count >= MUX_STREAMS_MAX) return NULL;
  if (mux->count == mux->capacity) {
    mux->capacity = mux->capacity ? mux->capacity * 2 : 16;
    mux->streams = xrealloc(mux->streams, mux->capacity * sizeof *mux->streams);
  }
  struct mux_stream *stream = xzalloc(sizeof *stream);
  *stream = (struct mux_stream){.id = id, .user = user, .send_credit = MUX_WINDOW, .recv_credit = MUX_WINDOW};
  mux->streams[mux->count++] = stream;
  mux->last_id = id;
  return stream;
}

static void forget(struct mux *mux, struct mux_stream *stream) {
  size_t i = lower_bound(mux, stream->id);
  memmove(mux->streams + i, mux->streams + i + 1, (mux->count - i - 1) * sizeof *mux->streams);
  mux->count--;
  free(stream);
}

struct mux_stream *mux_open(struct mux *mux, void *user) {
  if (mux->side != MUX_HOST || mux->last_id == UINT32_MAX) return NULL;
  return add_stream(mux, mux->last_id + 1, user);
}

/* Appends a frame to what waits for the channel. */
static int enqueue(struct mux *mux, uint32_t id, uint8_t type, const void *payload, size_t length) {
  if (mux->why) return -1;
  if (length > FRAME_LIMIT) return broken(mux, "a frame to be sent is too large");
  if (buffer_length(&mux->out) + FRAME_HEADER + length > MUX_QUEUE_MAX)
    return broken(mux, "the other end does not read its channel");
  frame_append(&mux->out, type, id, payload, length);
  return 0;
}

void mux_close(struct mux *mux, struct mux_stream *stream) {
  enqueue(mux, stream->id, FRAME_CLOSE, NULL, 0);
  forget(mux, stream);
}

int mux_send(struct mux *mux, struct mux_stream *stream, uint8_t type, const void *payload, size_t length) {
  if (enqueue(mux, stream ? stream->id : 0, type, payload, length) < 0) return -1;
  if (!stream && mux->side == MUX_HOST && type == FRAME_REQUEST) mux->control_pending++;
  if (stream && type == FRAME_EXIT) forget(mux, stream);
  return 0;
}

size_t mux_room(const struct mux *mux, const struct mux_stream *stream) {
  size_t queued = buffer_length(&mux->out);
  if (mux->why || queued >= MUX_QUEUE_DATA) return 0;
  return stream->send_credit < MUX_QUEUE_DATA - queued ? stream->send_credit : MUX_QUEUE_DATA - queued;
}

size_t mux_send_data(struct mux *mux, struct mux_stream *stream, uint8_t type, const void *data, size_t length) {
  size_t sent = 0;
  while (sent < length) {
    size_t n = mux_room(mux, stream);
    if (n > length - sent) n = length - sent;
    if (n > MUX_CHUNK) n = MUX_CHUNK;
    if (n == 0 || enqueue(mux, stream->id, type, (const uint8_t *)data + sent, n) < 0) {
      stream->blocked = true;
      break;
    }
    stream->send_credit -= n;
    sent += n;
  }
  return sent;
}

void mux_consumed(struct mux *mux, struct mux_stream *stream, size_t length) {
  stream->consumed += length;
  if (stream->consumed < grant_step) return;
  uint8_t payload[4];
  store_u32(payload, (uint32_t)stream->consumed);
  if (enqueue(mux, stream->id, FRAME_CREDIT, payload, sizeof payload) < 0) return;
  stream->recv_credit += stream->consumed;
  stream->consumed = 0;
}

/* Which frames may come from the peer, and how long their payload is. */
static bool allowed(enum mux_side side, uint32_t type, size_t length) {
  switch (type) {
    case FRAME_REQUEST:
    case FRAME_STDIN: return side == MUX_GUEST;
    case FRAME_STDIN_END: return side == MUX_GUEST && length == 0;
    case FRAME_CLOSE: return length == 0;
    case FRAME_RESIZE:
    case FRAME_SIGNAL: return side == MUX_GUEST && length == 4;
    case FRAME_REPLY:
    case FRAME_EVENT:
    case FRAME_STDOUT:
    case FRAME_STDERR: return side == MUX_HOST;
    case FRAME_EXIT: return side == MUX_HOST && length == 8;
    case FRAME_CREDIT: return length == 4;
    default: return false;
  }
}

static int call(struct mux *mux, struct mux_stream *stream, uint8_t type, const uint8_t *payload, size_t length) {
  const char *why = "the channel was ended";
  if (mux->handler.frame(mux->handler.context, stream, type, payload, length, &why) < 0) return broken(mux, why);
  return mux->why ? -1 : 0;
}

/* Frames about the sandbox itself. */
static int on_control(struct mux *mux, uint8_t type, const uint8_t *payload, size_t length) {
  switch (type) {
    case FRAME_REPLY:
      if (mux->control_pending == 0) return broken(mux, "a reply came that nobody asked for");
      mux->control_pending--;
      break;
    case FRAME_REQUEST:
    case FRAME_EVENT: break;
    default: return broken(mux, "a session's frame came on stream 0");
  }
  return call(mux, NULL, type, payload, length);
}

static int on_credit(struct mux *mux, struct mux_stream *stream, const uint8_t *payload) {
  uint32_t more = load_u32(payload);
  if (more == 0 || more > MUX_WINDOW - stream->send_credit) return broken(mux, "credit beyond the window was given");
  stream->send_credit += more;
  return 0;
}

/* A frame of a stream that is not open: a new one at the guest, else what was under way when we closed it. */
static int on_unknown(struct mux *mux, uint32_t id, uint8_t type, const uint8_t *payload, size_t length) {
  bool request = type == FRAME_REQUEST;
  if (request == (id <= mux->last_id)) return broken(mux, "a frame came on a stream that was never opened");
  if (!request) return 0;
  struct mux_stream *stream = add_stream(mux, id, NULL);
  return stream ? call(mux, stream, type, payload, length) : broken(mux, "too many streams are open");
}

static int on_stream(struct mux *mux, uint32_t id, uint8_t type, const uint8_t *payload, size_t length) {
  struct mux_stream *stream = mux_find(mux, id);
  if (!stream) return on_unknown(mux, id, type, payload, length);
  switch (type) {
    case FRAME_REQUEST: return broken(mux, "a second request came on one stream");
    case FRAME_EVENT: return broken(mux, "an event came on a session's stream");
    case FRAME_CREDIT: return on_credit(mux, stream, payload);
    case FRAME_REPLY:
      if (stream->replied) return broken(mux, "a second reply came on one stream");
      stream->replied = true;
      return call(mux, stream, type, payload, length);
    case FRAME_STDOUT:
    case FRAME_STDERR:
      if (!stream->replied) return broken(mux, "output came before the reply");
      /* fall through */
    case FRAME_STDIN:
      if (length > stream->recv_credit) return broken(mux, "more data came than credit was given");
      stream->recv_credit -= length;
      return call(mux, stream, type, payload, length);
    case FRAME_EXIT:
      /* It becomes the exit status of a client's command, where 256 would mean success. */
      if (load_u32(payload) > 255) return broken(mux, "an exit status is not one");
      /* fall through */
    case FRAME_CLOSE: {
      int result = call(mux, stream, type, payload, length);
      stream = mux_find(mux, id); /* the callback may have closed it itself */
      if (stream) forget(mux, stream);
      return result;
    }
    default: return call(mux, stream, type, payload, length);
  }
}

/* All whole frames that are there. */
static int take_frames(struct mux *mux) {
  while (buffer_length(&mux->in) >= FRAME_HEADER) {
    const uint8_t *p = (const uint8_t *)buffer_data(&mux->in);
    uint32_t length = load_u32(p), id = load_u32(p + 4), type = load_u32(p + 8);
    if (length > FRAME_LIMIT) return broken(mux, "a frame is longer than 1 MiB");
    if (!allowed(mux->side, type, length)) return broken(mux, "a frame is not in the protocol");
    if (buffer_length(&mux->in) < FRAME_HEADER + length) return 0;
    p += FRAME_HEADER;
    int result = id == 0 ? on_control(mux, (uint8_t)type, p, length) : on_stream(mux, id, (uint8_t)type, p, length);
    if (result < 0) return -1;
    buffer_consume(&mux->in, FRAME_HEADER + length);
  }
  return 0;
}

/* Streams that lacked room get it in turn, beginning after the one that had it last. */
static void give_room(struct mux *mux) {
  size_t rounds = mux->count;
  while (rounds-- > 0 && mux->count > 0 && buffer_length(&mux->out) < MUX_QUEUE_DATA) {
    size_t i = mux->turn == UINT32_MAX ? 0 : lower_bound(mux, mux->turn + 1);
    if (i == mux->count) i = 0;
    struct mux_stream *stream = mux->streams[i];
    mux->turn = stream->id;
    if (!stream->blocked || mux_room(mux, stream) == 0) continue;
    stream->blocked = false;
    mux->handler.writable(mux->handler.context, stream);
  }
}

int mux_read(struct mux *mux) {
  size_t turn = 0;
  if (mux->why) return -1;
  while (turn < read_turn) {
    ssize_t n = read(mux->fd, buffer_reserve(&mux->in, read_step), read_step);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0 && errno != ECONNRESET) return broken(mux, strerror(errno));
    if (n <= 0) return buffer_length(&mux->in) > 0 ? broken(mux, "the channel ended within a frame") : 0;
    buffer_added(&mux->in, (size_t)n);
    turn += (size_t)n;
    if (take_frames(mux) < 0) return -1;
    if (n < read_step) break;
  }
  give_room(mux);
  return mux->why ? -1 : 1;
}

int mux_write(struct mux *mux) {
  for (;;) {
    if (mux->why) return -1;
    while (buffer_length(&mux->out) > 0) {
      ssize_t n = write(mux->fd, buffer_data(&mux->out), buffer_length(&mux->out));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) break;
      if (n < 0) return errno == EPIPE || errno == ECONNRESET ? 0 : broken(mux, strerror(errno));
      buffer_consume(&mux->out, (size_t)n);
    }
    if (buffer_length(&mux->out) > 0) {
      give_room(mux);
      return mux->why ? -1 : 1;
    }
    give_room(mux);
    if (buffer_length(&mux->out) == 0) return mux->why ? -1 : 1;
  }
}
