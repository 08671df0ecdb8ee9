/* Streams with credit over one byte channel. See mux.h. */
#define _GNU_SOURCE
#include "mux.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frame.h"

#define HEADER 12u
#define READ_STEP (64u * 1024u)
#define READ_TURN (1024u * 1024u)
#define GRANT_STEP (MUX_WINDOW / 4)

struct mux_stream
{
  uint32_t id;
  void *user;
  size_t send_credit; /* bytes we may send */
  size_t recv_credit; /* bytes the peer may send */
  size_t consumed;    /* bytes out of the way but not yet granted again */
  bool replied;       /* host: the reply came */
  bool blocked;       /* wants to be called when there is room */
};

struct bytes
{
  uint8_t *data;
  size_t start, end, capacity;
};

struct mux
{
  int fd;
  enum mux_side side;
  struct mux_handler handler;
  struct bytes in, out;
  struct mux_stream **streams; /* by rising id */
  size_t count, capacity;
  uint32_t last_id;       /* newest stream opened */
  uint32_t turn;          /* the stream that was last given room */
  size_t control_pending; /* host: requests on stream 0 without reply */
  const char *why;
};

static int
broken (struct mux *mux, const char *why)
{
  if (mux->why == NULL)
    mux->why = why;
  return -1;
}

static size_t
bytes_used (const struct bytes *b)
{
  return b->end - b->start;
}

/* Room for `more` bytes at the end. */
static int
bytes_reserve (struct bytes *b, size_t more)
{
  if (b->capacity - b->end >= more)
    return 0;
  size_t used = bytes_used (b);
  if (used > 0 && b->start > 0)
    memmove (b->data, b->data + b->start, used);
  b->start = 0;
  b->end = used;
  if (b->capacity - used >= more)
    return 0;
  size_t capacity = b->capacity ? b->capacity : READ_STEP;
  while (capacity - used < more)
    capacity *= 2;
  uint8_t *data = realloc (b->data, capacity);
  if (data == NULL)
    return -1;
  b->data = data;
  b->capacity = capacity;
  return 0;
}

static void
bytes_drop (struct bytes *b, size_t length)
{
  b->start += length;
  if (b->start < b->end)
    return;
  b->start = b->end = 0;
  /* A single large frame must not hold its memory for ever. */
  if (b->capacity > 4 * READ_STEP)
    {
      free (b->data);
      b->data = NULL;
      b->capacity = 0;
    }
}

static void
put_u32 (uint8_t *p, uint32_t v)
{
  p[0] = v & 0xff;
  p[1] = v >> 8 & 0xff;
  p[2] = v >> 16 & 0xff;
  p[3] = v >> 24;
}

static uint32_t
get_u32 (const uint8_t *p)
{
  return (uint32_t) p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16 | (uint32_t) p[3] << 24;
}

struct mux *
mux_new (int fd, enum mux_side side, const struct mux_handler *handler)
{
  struct mux *mux = calloc (1, sizeof *mux);
  if (mux == NULL)
    return NULL;
  mux->fd = fd;
  mux->side = side;
  mux->handler = *handler;
  return mux;
}

void
mux_free (struct mux *mux)
{
  if (mux == NULL)
    return;
  for (size_t i = 0; i < mux->count; i++)
    free (mux->streams[i]);
  free (mux->streams);
  free (mux->in.data);
  free (mux->out.data);
  free (mux);
}

int
mux_fd (const struct mux *mux)
{
  return mux->fd;
}

bool
mux_wants_write (const struct mux *mux)
{
  return bytes_used (&mux->out) > 0;
}

const char *
mux_why (const struct mux *mux)
{
  return mux->why ? mux->why : "the other end has closed the channel";
}

size_t
mux_count (const struct mux *mux)
{
  return mux->count;
}

uint32_t
mux_id (const struct mux_stream *stream)
{
  return stream->id;
}

void *
mux_user (const struct mux_stream *stream)
{
  return stream->user;
}

void
mux_set_user (struct mux_stream *stream, void *user)
{
  stream->user = user;
}

/* Index of the first stream whose id is at least `id`. */
static size_t
lower_bound (const struct mux *mux, uint32_t id)
{
  size_t low = 0, high = mux->count;
  while (low < high)
    {
      size_t middle = low + (high - low) / 2;
      if (mux->streams[middle]->id < id)
        low = middle + 1;
      else
        high = middle;
    }
  return low;
}

struct mux_stream *
mux_find (struct mux *mux, uint32_t id)
{
  size_t i = lower_bound (mux, id);
  return i < mux->count && mux->streams[i]->id == id ? mux->streams[i] : NULL;
}

/* `id` is larger than every one before, so the array stays in order. */
static struct mux_stream *
add_stream (struct mux *mux, uint32_t id, void *user)
{
  if (mux->count >= MUX_STREAMS_MAX)
    return NULL;
  if (mux->count == mux->capacity)
    {
      size_t capacity = mux->capacity ? mux->capacity * 2 : 16;
      struct mux_stream **streams = realloc (mux->streams, capacity * sizeof *streams);
      if (streams == NULL)
        return NULL;
      mux->streams = streams;
      mux->capacity = capacity;
    }
  struct mux_stream *stream = calloc (1, sizeof *stream);
  if (stream == NULL)
    return NULL;
  stream->id = id;
  stream->user = user;
  stream->send_credit = stream->recv_credit = MUX_WINDOW;
  mux->streams[mux->count++] = stream;
  mux->last_id = id;
  return stream;
}

static void
forget (struct mux *mux, struct mux_stream *stream)
{
  size_t i = lower_bound (mux, stream->id);
  memmove (mux->streams + i, mux->streams + i + 1, (mux->count - i - 1) * sizeof *mux->streams);
  mux->count--;
  free (stream);
}

struct mux_stream *
mux_open (struct mux *mux, void *user)
{
  if (mux->side != MUX_HOST || mux->last_id == UINT32_MAX)
    return NULL;
  return add_stream (mux, mux->last_id + 1, user);
}

/* Appends a frame to what waits for the channel. */
static int
enqueue (struct mux *mux, uint32_t id, uint8_t type, const void *payload, size_t length)
{
  if (mux->why)
    return -1;
  if (length > FRAME_PAYLOAD_MAX)
    return broken (mux, "a frame to be sent is too large");
  if (bytes_used (&mux->out) + HEADER + length > MUX_QUEUE_MAX)
    return broken (mux, "the other end does not read its channel");
  if (bytes_reserve (&mux->out, HEADER + length) < 0)
    return broken (mux, "no memory for the channel");
  uint8_t *p = mux->out.data + mux->out.end;
  put_u32 (p, (uint32_t) length);
  put_u32 (p + 4, id);
  put_u32 (p + 8, type);
  if (length > 0)
    memcpy (p + HEADER, payload, length);
  mux->out.end += HEADER + length;
  return 0;
}

void
mux_close (struct mux *mux, struct mux_stream *stream)
{
  if (mux->side == MUX_HOST)
    enqueue (mux, stream->id, FRAME_CLOSE, NULL, 0);
  forget (mux, stream);
}

int
mux_send (struct mux *mux, struct mux_stream *stream, uint8_t type, const void *payload, size_t length)
{
  if (enqueue (mux, stream ? stream->id : 0, type, payload, length) < 0)
    return -1;
  if (stream == NULL && mux->side == MUX_HOST && type == FRAME_REQUEST)
    mux->control_pending++;
  if (stream && type == FRAME_EXIT)
    forget (mux, stream);
  return 0;
}

size_t
mux_room (struct mux *mux, const struct mux_stream *stream)
{
  size_t queued = bytes_used (&mux->out);
  if (mux->why || queued >= MUX_QUEUE_DATA)
    return 0;
  return stream->send_credit < MUX_QUEUE_DATA - queued ? stream->send_credit : MUX_QUEUE_DATA - queued;
}

size_t
mux_send_data (struct mux *mux, struct mux_stream *stream, uint8_t type, const void *data, size_t length)
{
  size_t sent = 0;
  while (sent < length)
    {
      size_t n = mux_room (mux, stream);
      if (n > length - sent)
        n = length - sent;
      if (n > MUX_CHUNK)
        n = MUX_CHUNK;
      if (n == 0 || enqueue (mux, stream->id, type, (const uint8_t *) data + sent, n) < 0)
        {
          stream->blocked = true;
          break;
        }
      stream->send_credit -= n;
      sent += n;
    }
  return sent;
}

void
mux_consumed (struct mux *mux, struct mux_stream *stream, size_t length)
{
  stream->consumed += length;
  if (stream->consumed < GRANT_STEP)
    return;
  uint8_t payload[4];
  put_u32 (payload, (uint32_t) stream->consumed);
  if (enqueue (mux, stream->id, FRAME_CREDIT, payload, sizeof payload) < 0)
    return;
  stream->recv_credit += stream->consumed;
  stream->consumed = 0;
}

/* Which frames may come from the peer, and how long their payload is (-1: any). */
static bool
allowed (enum mux_side side, uint8_t type, size_t length)
{
  switch (type)
    {
    case FRAME_REQUEST:
    case FRAME_STDIN:
      return side == MUX_GUEST;
    case FRAME_STDIN_END:
    case FRAME_CLOSE:
      return side == MUX_GUEST && length == 0;
    case FRAME_RESIZE:
    case FRAME_SIGNAL:
      return side == MUX_GUEST && length == 4;
    case FRAME_REPLY:
    case FRAME_EVENT:
    case FRAME_STDOUT:
    case FRAME_STDERR:
      return side == MUX_HOST;
    case FRAME_EXIT:
      return side == MUX_HOST && length == 8;
    case FRAME_CREDIT:
      return length == 4;
    default:
      return false;
    }
}

static int
call (struct mux *mux, struct mux_stream *stream, uint8_t type, const uint8_t *payload, size_t length)
{
  const char *why = "the channel was ended";
  if (mux->handler.frame (mux->handler.context, stream, type, payload, length, &why) < 0)
    return broken (mux, why);
  return mux->why ? -1 : 0;
}

/* Frames about the sandbox itself. */
static int
on_control (struct mux *mux, uint8_t type, const uint8_t *payload, size_t length)
{
  switch (type)
    {
    case FRAME_REPLY:
      if (mux->control_pending == 0)
        return broken (mux, "a reply came that nobody asked for");
      mux->control_pending--;
      break;
    case FRAME_REQUEST:
    case FRAME_EVENT:
      break;
    default:
      return broken (mux, "a session's frame came on stream 0");
    }
  return call (mux, NULL, type, payload, length);
}

static int
on_credit (struct mux *mux, struct mux_stream *stream, const uint8_t *payload)
{
  uint32_t more = get_u32 (payload);
  if (more == 0 || more > MUX_WINDOW - stream->send_credit)
    return broken (mux, "credit beyond the window was given");
  stream->send_credit += more;
  return 0;
}

static int
on_stream (struct mux *mux, uint32_t id, uint8_t type, const uint8_t *payload, size_t length)
{
  struct mux_stream *stream = mux_find (mux, id);
  if (stream == NULL)
    {
      if (type == FRAME_REQUEST && id > mux->last_id)
        {
          stream = add_stream (mux, id, NULL);
          return stream ? call (mux, stream, type, payload, length) : broken (mux, "too many streams are open");
        }
      /* What was under way when we closed the stream is thrown away. */
      return id <= mux->last_id && type != FRAME_REQUEST ? 0 : broken (mux, "a frame came on a stream that was never opened");
    }
  switch (type)
    {
    case FRAME_REQUEST:
      return broken (mux, "a second request came on one stream");
    case FRAME_EVENT:
      return broken (mux, "an event came on a session's stream");
    case FRAME_CREDIT:
      return on_credit (mux, stream, payload);
    case FRAME_REPLY:
      if (stream->replied)
        return broken (mux, "a second reply came on one stream");
      stream->replied = true;
      return call (mux, stream, type, payload, length);
    case FRAME_STDOUT:
    case FRAME_STDERR:
      if (!stream->replied)
        return broken (mux, "output came before the reply");
      /* fall through */
    case FRAME_STDIN:
      if (length > stream->recv_credit)
        return broken (mux, "more data came than credit was given");
      stream->recv_credit -= length;
      return call (mux, stream, type, payload, length);
    case FRAME_EXIT:
    case FRAME_CLOSE:
      {
        int result = call (mux, stream, type, payload, length);
        /* The callback may have closed it itself. */
        stream = mux_find (mux, id);
        if (stream)
          forget (mux, stream);
        return result;
      }
    default:
      return call (mux, stream, type, payload, length);
    }
}

/* All whole frames that are there. */
static int
take_frames (struct mux *mux)
{
  while (bytes_used (&mux->in) >= HEADER)
    {
      const uint8_t *p = mux->in.data + mux->in.start;
      uint32_t length = get_u32 (p), id = get_u32 (p + 4), type = get_u32 (p + 8);
      if (length > FRAME_PAYLOAD_MAX)
        return broken (mux, "a frame is longer than 1 MiB");
      if (type > UINT8_MAX || !allowed (mux->side, (uint8_t) type, length))
        return broken (mux, "a frame is not in the protocol");
      if (bytes_used (&mux->in) < HEADER + length)
        return bytes_reserve (&mux->in, HEADER + length - bytes_used (&mux->in)) < 0 ? broken (mux, "no memory for a frame") : 0;
      int result = id == 0 ? on_control (mux, (uint8_t) type, p + HEADER, length)
                           : on_stream (mux, id, (uint8_t) type, p + HEADER, length);
      if (result < 0)
        return -1;
      bytes_drop (&mux->in, HEADER + length);
    }
  return 0;
}

/* Streams that lacked room get it in turn, beginning after the one that had it last. */
static void
give_room (struct mux *mux)
{
  size_t rounds = mux->count;
  while (rounds-- > 0 && mux->count > 0 && bytes_used (&mux->out) < MUX_QUEUE_DATA)
    {
      size_t i = lower_bound (mux, mux->turn + 1);
      if (mux->turn == UINT32_MAX || i == mux->count)
        i = 0;
      struct mux_stream *stream = mux->streams[i];
      mux->turn = stream->id;
      if (!stream->blocked || mux_room (mux, stream) == 0)
        continue;
      stream->blocked = false;
      if (mux->handler.writable)
        mux->handler.writable (mux->handler.context, stream);
    }
}

int
mux_read (struct mux *mux)
{
  size_t turn = 0;
  if (mux->why)
    return -1;
  while (turn < READ_TURN)
    {
      if (bytes_reserve (&mux->in, READ_STEP) < 0)
        return broken (mux, "no memory for the channel");
      ssize_t n = read (mux->fd, mux->in.data + mux->in.end, mux->in.capacity - mux->in.end);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0 && errno == EAGAIN)
        break;
      if (n < 0 && errno != ECONNRESET)
        return broken (mux, strerror (errno));
      if (n <= 0)
        return bytes_used (&mux->in) > 0 ? broken (mux, "the channel ended within a frame") : 0;
      mux->in.end += (size_t) n;
      turn += (size_t) n;
      if (take_frames (mux) < 0)
        return -1;
      if ((size_t) n < READ_STEP)
        break;
    }
  give_room (mux);
  return mux->why ? -1 : 1;
}

int
mux_write (struct mux *mux)
{
  if (mux->why)
    return -1;
  for (;;)
    {
      while (bytes_used (&mux->out) > 0)
        {
          ssize_t n = write (mux->fd, mux->out.data + mux->out.start, bytes_used (&mux->out));
          if (n < 0 && errno == EINTR)
            continue;
          if (n < 0 && errno == EAGAIN)
            break;
          if (n < 0)
            return errno == EPIPE || errno == ECONNRESET ? 0 : broken (mux, strerror (errno));
          bytes_drop (&mux->out, (size_t) n);
        }
      size_t before = bytes_used (&mux->out);
      give_room (mux);
      if (mux->why)
        return -1;
      if (before > 0 || bytes_used (&mux->out) == 0)
        return 1;
    }
}
