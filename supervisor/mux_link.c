#include "mux_link.h"

#include <poll.h>
#include <string.h>

#include "mux.h"
#include "util.h"

struct mux_server {
  struct loop *loop;
  struct mux *mux;
  struct watch watch;
  struct wall *wall;
  void (*lost)(void *context, const char *why);
  void *context;
  bool gone;
};

struct mux_link {
  struct link link;
  struct mux_server *server;
  struct mux_stream *stream; /* NULL: stream 0 */
  struct buffer excess;      /* frames that were sent without room for them: kept in order behind the data */
  size_t held;               /* input bytes whose credit waits for the end of a pause */
  bool paused, finished, ended;
};

static void rewatch(struct mux_server *server) {
  if (server->gone) return;
  loop_rewatch(server->loop, &server->watch, EPOLLIN | (mux_wants_write(server->mux) ? EPOLLOUT : 0));
}

static bool is_data(uint8_t type) { return type == FRAME_STDOUT || type == FRAME_STDERR; }

static void release(struct mux_link *self) {
  buffer_free(&self->excess);
  free(self);
}

/* Sends one frame as far as the credit goes and says how many payload bytes it took. */
static size_t send_now(struct mux_link *self, uint8_t type, const void *payload, size_t length) {
  if (is_data(type)) return mux_send_data(self->server->mux, self->stream, type, payload, length);
  mux_send(self->server->mux, self->stream, type, payload, length);
  if (type == FRAME_EXIT) self->ended = true; /* the mux has forgotten the stream */
  return length;
}

static void send_excess(struct mux_link *self) {
  while (buffer_length(&self->excess) > 0) {
    const uint8_t *p = (const uint8_t *)buffer_data(&self->excess);
    uint32_t length = load_u32(p);
    uint8_t type = p[8];
    size_t sent = send_now(self, type, p + FRAME_HEADER, length);
    if (sent == length) {
      buffer_consume(&self->excess, FRAME_HEADER + length);
      continue;
    }
    /* The header moves up to the rest of its payload. */
    buffer_consume(&self->excess, sent);
    uint8_t *rest = (uint8_t *)buffer_data(&self->excess);
    memset(rest, 0, FRAME_HEADER);
    store_u32(rest, length - (uint32_t)sent);
    rest[8] = type;
    return;
  }
}

static void end_if_finished(struct mux_link *self) {
  if (!self->finished || buffer_length(&self->excess) > 0) return;
  if (self->stream && !self->ended) mux_close(self->server->mux, self->stream);
  release(self);
}

static struct mux_link *of(struct link *link) { return (struct mux_link *)link; }

static void op_send(struct link *link, uint8_t type, const void *payload, size_t length) {
  struct mux_link *self = of(link);
  size_t sent = 0;
  if (buffer_length(&self->excess) == 0) sent = send_now(self, type, payload, length);
  if (sent < length || (length == 0 && buffer_length(&self->excess) > 0))
    frame_append(&self->excess, type, 0, (const uint8_t *)payload + sent, length - sent);
  rewatch(self->server);
}

static size_t op_room(struct link *link) {
  struct mux_link *self = of(link);
  if (!self->stream || self->ended || buffer_length(&self->excess) > 0) return 0;
  size_t room = mux_room(self->server->mux, self->stream);
  if (room == 0) mux_want_room(self->stream);
  return room;
}

static size_t op_queued(struct link *link) { return buffer_length(&of(link)->excess); }

static void op_pause(struct link *link, bool paused) {
  struct mux_link *self = of(link);
  self->paused = paused;
  if (paused || !self->stream || self->ended || self->held == 0) return;
  mux_consumed(self->server->mux, self->stream, self->held);
  self->held = 0;
  rewatch(self->server);
}

static void op_finish(struct link *link) {
  struct mux_link *self = of(link);
  struct mux_server *server = self->server;
  link->on_frame = NULL;
  link->on_writable = NULL;
  link->on_closed = NULL;
  self->finished = true;
  end_if_finished(self);
  rewatch(server);
}

static const struct link_ops ops = {op_send, op_room, op_queued, op_pause, op_finish};

static struct mux_link *new_link(struct mux_server *server, struct mux_stream *stream) {
  struct mux_link *self = xzalloc(sizeof *self);
  self->link.ops = &ops;
  self->server = server;
  self->stream = stream;
  if (stream) mux_set_user(stream, self);
  return self;
}

/* The host has closed the stream, which the mux forgets when we return. */
static void closed(struct mux_link *self) {
  self->ended = true;
  if (self->link.on_closed) self->link.on_closed(&self->link);
  release(self);
}

static int on_frame(void *context, struct mux_stream *stream, uint8_t type, const uint8_t *payload, size_t length,
                    const char **why) {
  (void)why;
  struct mux_server *server = context;
  struct frame frame = {.type = type, .stream = stream ? mux_id(stream) : 0, .payload = payload,
                        .length = (uint32_t)length};
  if (type == FRAME_REQUEST) {
    dispatch(server->wall, &new_link(server, stream)->link, &frame);
    return 0;
  }
  struct mux_link *self = stream ? mux_user(stream) : NULL;
  if (!self) return 0;
  if (type == FRAME_CLOSE) {
    closed(self);
    return 0;
  }
  if (type == FRAME_STDIN) {
    /* The credit first: the verb may end the link. */
    if (self->paused)
      self->held += length;
    else
      mux_consumed(server->mux, stream, length);
  }
  if (self->link.on_frame) self->link.on_frame(&self->link, &frame);
  return 0;
}

static void on_writable(void *context, struct mux_stream *stream) {
  (void)context;
  struct mux_link *self = mux_user(stream);
  send_excess(self);
  if (buffer_length(&self->excess) > 0) return;
  if (self->finished)
    end_if_finished(self);
  else if (self->link.on_writable)
    self->link.on_writable(&self->link);
}

static void lose(struct mux_server *server) {
  if (server->gone) return;
  server->gone = true;
  loop_unwatch(server->loop, &server->watch);
  server->lost(server->context, mux_why(server->mux));
}

static void on_ready(void *context, uint32_t events) {
  struct mux_server *server = context;
  int result = 1;
  if (events & EPOLLOUT) result = mux_write(server->mux);
  if (result == 1 && (events & ~(uint32_t)EPOLLOUT)) result = mux_read(server->mux);
  if (result == 1 && mux_wants_write(server->mux)) result = mux_write(server->mux);
  if (result != 1)
    lose(server);
  else
    rewatch(server);
}

struct mux_server *mux_server_new(struct loop *loop, int fd, struct wall *wall,
                                  void (*lost)(void *context, const char *why), void *context) {
  struct mux_server *server = xzalloc(sizeof *server);
  *server = (struct mux_server){.loop = loop, .wall = wall, .lost = lost, .context = context};
  set_nonblocking(fd);
  struct mux_handler handler = {on_frame, on_writable, server};
  server->mux = mux_new(fd, MUX_GUEST, &handler);
  loop_watch(loop, &server->watch, fd, EPOLLIN, on_ready, server);
  return server;
}

void mux_server_event(struct mux_server *server, json_t *event) {
  cleanup_json json_t *owned = event;
  cleanup_free char *text = json_dumps(owned, JSON_COMPACT);
  if (!text || server->gone) return;
  mux_send(server->mux, NULL, FRAME_EVENT, text, strlen(text));
  rewatch(server);
}

void mux_server_flush(struct mux_server *server, int timeout) {
  int64_t end = monotonic_ms() + timeout;
  while (!server->gone && mux_wants_write(server->mux)) {
    int64_t left = end - monotonic_ms();
    struct pollfd ready = {.fd = mux_fd(server->mux), .events = POLLOUT};
    if (left <= 0 || poll(&ready, 1, (int)left) < 0 || mux_write(server->mux) != 1) return;
  }
}
