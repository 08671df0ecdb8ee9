#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "util.h"

enum { queue_high = 256 << 10, queue_low = 128 << 10, connection_limit = 512, piece = 64 << 10 };

struct connection {
  struct link link;
  struct server *server;
  struct connection *next;
  int fd;
  struct watch watch;
  struct frame_parser parser;
  struct buffer out;
  struct timer lost;
  /* started: the first frame has come; finishing: only the queue is left; dead: the client is gone. */
  /* ended: it has shut its writing side down, and may still read. */
  bool started, paused, finishing, dead, was_full, ended;
};

struct server {
  struct loop *loop;
  int fd;
  char *path;
  struct watch watch;
  void (*first)(void *context, struct link *link, const struct frame *frame);
  void *context;
  struct connection *connections;
  unsigned count;
  /* Closing. */
  void (*idle)(void *context);
  void *idle_context;
  struct timer patience, done;
  int64_t patience_ms;
};

static struct connection *of(struct link *link) { return (struct connection *)link; }

static void is_idle(void *context) {
  struct server *server = context;
  void (*idle)(void *) = server->idle;
  void *idle_context = server->idle_context;
  loop_timer_cancel(server->loop, &server->patience);
  free(server->path);
  free(server);
  idle(idle_context);
}

static void destroy(struct connection *connection) {
  struct server *server = connection->server;
  for (struct connection **place = &server->connections; *place; place = &(*place)->next)
    if (*place == connection) {
      *place = connection->next;
      break;
    }
  server->count--;
  loop_unwatch(server->loop, &connection->watch);
  loop_timer_cancel(server->loop, &connection->lost);
  close(connection->fd);
  frame_parser_free(&connection->parser);
  buffer_free(&connection->out);
  free(connection);
  if (server->idle && server->count == 0) loop_timer(server->loop, &server->done, 0, is_idle, server);
}

/* The client is gone: tell the owner (who may not touch the link afterwards) and forget. */
static void lose(struct connection *connection) {
  struct link *link = &connection->link;
  if (!connection->finishing && link->on_closed) link->on_closed(link);
  destroy(connection);
}

static void lost(void *context) { lose(context); }

static void update(struct connection *connection) {
  uint32_t events = 0;
  if (!connection->paused && !connection->finishing && !connection->ended) events |= EPOLLIN;
  if (buffer_length(&connection->out) > 0) events |= EPOLLOUT;
  loop_rewatch(connection->server->loop, &connection->watch, events);
}

static void out_of_patience(void *context);

/* Writes what the socket takes. A dead socket is reported from the loop, never from within a send. */
static void flush(struct connection *connection) {
  while (!connection->dead && buffer_length(&connection->out) > 0) {
    ssize_t sent = send(connection->fd, buffer_data(&connection->out), buffer_length(&connection->out),
                        MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) break;
    if (sent < 0) {
      connection->dead = true;
      loop_timer(connection->server->loop, &connection->lost, 0, lost, connection);
      break;
    }
    buffer_consume(&connection->out, (size_t)sent);
    struct server *server = connection->server;
    if (server->idle && sent > 0) loop_timer(server->loop, &server->patience, server->patience_ms, out_of_patience, server);
  }
  if (connection->dead) buffer_free(&connection->out);
  update(connection);
}

static void link_send_(struct link *link, uint8_t type, const void *payload, size_t length) {
  struct connection *connection = of(link);
  if (connection->dead) return;
  frame_append(&connection->out, type, 0, payload, length);
  flush(connection);
}

static size_t link_queued_(struct link *link) { return buffer_length(&of(link)->out); }

static size_t link_room_(struct link *link) {
  struct connection *connection = of(link);
  if (connection->dead) return piece;
  size_t queued = buffer_length(&connection->out);
  if (queued < queue_high) return queue_high - queued;
  connection->was_full = true;
  return 0;
}

static void link_pause_(struct link *link, bool paused) {
  struct connection *connection = of(link);
  connection->paused = paused;
  if (!connection->dead) update(connection);
}

static void link_finish_(struct link *link) {
  struct connection *connection = of(link);
  connection->finishing = true;
  link->on_frame = NULL;
  link->on_writable = NULL;
  link->on_closed = NULL;
  /* Destroyed from the loop: the caller may still be inside a callback of this connection. */
  if (connection->dead || buffer_length(&connection->out) == 0)
    loop_timer(connection->server->loop, &connection->lost, 0, lost, connection);
  else
    update(connection);
}

static const struct link_ops ops = {link_send_, link_room_, link_queued_, link_pause_, link_finish_};

static int take_frame(void *context, const struct frame *frame) {
  struct connection *connection = context;
  if (connection->finishing) return 0;
  if (!connection->started) {
    connection->started = true;
    connection->server->first(connection->server->context, &connection->link, frame);
  } else if (connection->link.on_frame) {
    connection->link.on_frame(&connection->link, frame);
  }
  return 0;
}

/* Returns false when the connection is gone. */
static bool receive(struct connection *connection) {
  static char data[piece];
  ssize_t got = recv(connection->fd, data, sizeof data, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  struct error error;
  if (got == 0 && connection->started) {
    connection->ended = true;
    update(connection);
    return true;
  }
  if (got > 0 && frame_push(&connection->parser, data, (size_t)got, take_frame, connection, &error) == 0) return true;
  if (got > 0) complain("client: %s", error.message);
  lose(connection);
  return false;
}

static void on_ready(void *context, uint32_t events) {
  struct connection *connection = context;
  if ((events & EPOLLIN) && !connection->paused && !connection->finishing && !connection->ended) {
    if (!receive(connection)) return;
    if (!connection->ended) events &= ~(uint32_t)EPOLLHUP; /* there may be more to read first */
  }
  if (events & (EPOLLHUP | EPOLLERR)) {
    lose(connection);
    return;
  }
  if (!(events & EPOLLOUT)) return;
  flush(connection);
  if (connection->dead) return;
  if (connection->finishing) {
    if (buffer_length(&connection->out) == 0) destroy(connection);
    return;
  }
  if (connection->was_full && buffer_length(&connection->out) <= queue_low) {
    connection->was_full = false;
    if (connection->link.on_writable) connection->link.on_writable(&connection->link);
  }
}

static void on_accept(void *context, uint32_t events) {
  (void)events;
  struct server *server = context;
  int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  if (server->count >= connection_limit) {
    close(fd);
    return;
  }
  struct connection *connection = xzalloc(sizeof *connection);
  connection->link.ops = &ops;
  connection->server = server;
  connection->fd = fd;
  connection->next = server->connections;
  server->connections = connection;
  server->count++;
  loop_watch(server->loop, &connection->watch, fd, EPOLLIN, on_ready, connection);
}

struct server *server_listen(struct loop *loop, const char *path,
                             void (*first)(void *context, struct link *link, const struct frame *frame), void *context,
                             struct error *error) {
  /* Through the folder's descriptor: a socket address holds only 107 bytes. */
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  cleanup_free char *folder = xstrdup(path);
  char *name = strrchr(folder, '/');
  if (!name) {
    error_set(error, "invalid", "socket path %s is not absolute", path);
    return NULL;
  }
  *name++ = 0;
  cleanup_fd int folder_fd = open(*folder ? folder : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder_fd < 0) {
    error_errno(error, "open folder %s", folder);
    return NULL;
  }
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%.40s", folder_fd, name);
  cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  unlink(path);
  mode_t old = umask(0177);
  int bound = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&address, sizeof address);
  umask(old);
  if (bound < 0 || listen(fd, 64) < 0) {
    error_errno(error, "listen on %s", path);
    return NULL;
  }
  struct server *server = xzalloc(sizeof *server);
  server->loop = loop;
  server->fd = take_fd(&fd);
  server->path = xstrdup(path);
  server->first = first;
  server->context = context;
  loop_watch(loop, &server->watch, server->fd, EPOLLIN, on_accept, server);
  return server;
}

static void out_of_patience(void *context) {
  struct server *server = context;
  while (server->connections) lose(server->connections);
  loop_timer(server->loop, &server->done, 0, is_idle, server);
}

void server_close(struct server *server, int64_t patience, void (*idle)(void *context), void *context) {
  loop_unwatch(server->loop, &server->watch);
  close(server->fd);
  unlink(server->path);
  server->idle = idle;
  server->idle_context = context;
  server->patience_ms = patience;
  for (struct connection *connection = server->connections, *next; connection; connection = next) {
    next = connection->next;
    if (!connection->finishing) lose(connection);
  }
  if (server->count == 0)
    loop_timer(server->loop, &server->done, 0, is_idle, server);
  else
    loop_timer(server->loop, &server->patience, patience, out_of_patience, server);
}
