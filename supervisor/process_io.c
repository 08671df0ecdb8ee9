#include "process_io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "frame.h"
#include "util.h"

enum {
  piece = 64 << 10,
  input_high = 256 << 10,
  input_low = 64 << 10,
  grace_ms = 100,
  after_grace_limit = 1 << 20,
  terminal_retry_ms = 50,
};

static void on_out(void *context, uint32_t events);
static void on_err(void *context, uint32_t events);
static void on_in(void *context, uint32_t events);

static void close_stream(struct process_io *io, int *fd, struct watch *watch) {
  if (*fd < 0) return;
  loop_unwatch(io->loop, watch);
  close(*fd);
  *fd = -1;
}

static void finished(void *context) {
  struct process_io *io = context;
  io->handlers->drained(io->context);
}

static void check_done(struct process_io *io) {
  if (io->done || !io->exited || io->out >= 0 || io->err >= 0) return;
  io->done = true;
  loop_timer_cancel(io->loop, &io->grace);
  loop_timer(io->loop, &io->finish, 0, finished, io);
}

static bool is_empty(int fd) {
  int waiting = 0;
  return ioctl(fd, FIONREAD, &waiting) < 0 || waiting == 0;
}

static void listen_to(struct process_io *io, int fd, struct watch *watch, void (*callback)(void *, uint32_t)) {
  if (fd >= 0 && watch->fd < 0) loop_watch(io->loop, watch, fd, EPOLLIN, callback, io);
}

static void retry_terminal(void *context) {
  struct process_io *io = context;
  listen_to(io, io->out, &io->out_watch, on_out);
}

/* Reads one piece when there is room for it. */
static void pull(struct process_io *io, int *fd, struct watch *watch, uint8_t type) {
  static char data[piece];
  size_t room = io->handlers->room(io->context);
  if (room == 0) {
    loop_unwatch(io->loop, watch); /* not just masked: a hang-up would spin */
    return;
  }
  ssize_t got = read(*fd, data, room < sizeof data ? room : sizeof data);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got < 0 && errno == EIO && io->terminal && !io->exited) {
    /* Nobody has the terminal open right now; the process may open it again. */
    loop_unwatch(io->loop, watch);
    loop_timer(io->loop, &io->grace, terminal_retry_ms, retry_terminal, io);
    return;
  }
  if (got <= 0) {
    close_stream(io, fd, watch);
    check_done(io);
    return;
  }
  io->handlers->output(io->context, type, data, (size_t)got);
  if (!io->grace_over) return;
  io->after_grace += (size_t)got;
  if (is_empty(*fd) || io->after_grace > after_grace_limit) {
    close_stream(io, fd, watch);
    check_done(io);
  }
}

static void on_out(void *context, uint32_t events) {
  struct process_io *io = context;
  /* The terminal's master is one descriptor for both directions, and one watch. */
  if (io->terminal && (events & EPOLLOUT)) on_in(io, events);
  if (io->out >= 0 && (events & ~(uint32_t)EPOLLOUT)) pull(io, &io->out, &io->out_watch, FRAME_STDOUT);
}
static void on_err(void *context, uint32_t events) {
  (void)events;
  struct process_io *io = context;
  pull(io, &io->err, &io->err_watch, FRAME_STDERR);
}

static void terminal_end(struct process_io *io) {
  struct termios modes;
  if (tcgetattr(io->out, &modes) < 0 || !(modes.c_lflag & ICANON)) return;
  (void)!write(io->out, &modes.c_cc[VEOF], 1);
}

/* Writes queued input until the process takes no more. */
static void push_input(struct process_io *io) {
  int fd = io->terminal ? io->out : io->in;
  bool blocked = false;
  while (fd >= 0 && buffer_length(&io->input) > 0) {
    ssize_t sent = write(fd, buffer_data(&io->input), buffer_length(&io->input));
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) {
      blocked = true;
      break;
    }
    if (sent < 0) { /* it has closed its input */
      buffer_free(&io->input);
      if (!io->terminal) close_stream(io, &io->in, &io->in_watch);
      break;
    }
    buffer_consume(&io->input, (size_t)sent);
  }
  if (io->terminal) {
    loop_rewatch(io->loop, &io->out_watch, blocked ? EPOLLIN | EPOLLOUT : EPOLLIN);
    if (!blocked && io->input_ended && io->out >= 0) {
      terminal_end(io);
      io->input_ended = false; /* said once */
    }
  } else if (io->in >= 0) {
    if (!blocked && io->input_ended)
      close_stream(io, &io->in, &io->in_watch);
    else
      loop_rewatch(io->loop, &io->in_watch, blocked ? EPOLLOUT : 0);
  }
  bool full = buffer_length(&io->input) > (io->input_was_full ? input_low : input_high);
  if (full != io->input_was_full) {
    io->input_was_full = full;
    if (io->handlers->input_full) io->handlers->input_full(io->context, full);
  }
}

static void on_in(void *context, uint32_t events) {
  struct process_io *io = context;
  if (!io->terminal && (events & (EPOLLERR | EPOLLHUP))) { /* the reader is gone */
    close_stream(io, &io->in, &io->in_watch);
    buffer_free(&io->input);
  }
  push_input(io);
}

static void start(struct process_io *io, struct loop *loop, const struct io_handlers *handlers, void *context) {
  io->loop = loop;
  io->handlers = handlers;
  io->context = context;
  io->in_watch.fd = io->out_watch.fd = io->err_watch.fd = -1;
}

void io_start(struct process_io *io, struct loop *loop, const struct io_handlers *handlers, void *context, int in,
              int out, int err) {
  start(io, loop, handlers, context);
  io->in = in;
  io->out = out;
  io->err = err;
  if (in >= 0) {
    set_nonblocking(in);
    loop_watch(loop, &io->in_watch, in, 0, on_in, io);
  }
  if (out >= 0) set_nonblocking(out);
  if (err >= 0) set_nonblocking(err);
  listen_to(io, out, &io->out_watch, on_out);
  listen_to(io, err, &io->err_watch, on_err);
}

void io_start_terminal(struct process_io *io, struct loop *loop, const struct io_handlers *handlers, void *context,
                       int master) {
  io->terminal = true;
  io_start(io, loop, handlers, context, -1, master, -1);
}

void io_input(struct process_io *io, const void *data, size_t length) {
  if (!io->loop || io->input_ended || io->exited || (io->terminal ? io->out : io->in) < 0) return;
  buffer_append(&io->input, data, length);
  push_input(io);
}

void io_input_end(struct process_io *io) {
  if (!io->loop || io->input_ended || io->exited) return;
  io->input_ended = true;
  push_input(io);
}

void io_wake(struct process_io *io) {
  if (!io->loop || io->done) return;
  listen_to(io, io->out, &io->out_watch, on_out);
  listen_to(io, io->err, &io->err_watch, on_err);
  if (io->terminal && buffer_length(&io->input) > 0) push_input(io);
}

void io_resize(struct process_io *io, uint16_t rows, uint16_t columns) {
  struct winsize size = {.ws_row = rows, .ws_col = columns};
  if (io->loop && io->terminal && io->out >= 0) ioctl(io->out, TIOCSWINSZ, &size);
}

static void grace_ended(void *context) {
  struct process_io *io = context;
  io->grace_over = true;
  if (io->out >= 0 && is_empty(io->out)) close_stream(io, &io->out, &io->out_watch);
  if (io->err >= 0 && is_empty(io->err)) close_stream(io, &io->err, &io->err_watch);
  check_done(io);
}

void io_exited(struct process_io *io) {
  if (io->exited) return;
  io->exited = true;
  if (io->in >= 0) close_stream(io, &io->in, &io->in_watch);
  buffer_free(&io->input);
  loop_timer(io->loop, &io->grace, grace_ms, grace_ended, io);
  io_wake(io);
  check_done(io);
}

void io_close(struct process_io *io) {
  if (!io->loop) return;
  loop_timer_cancel(io->loop, &io->grace);
  loop_timer_cancel(io->loop, &io->finish);
  close_stream(io, &io->in, &io->in_watch);
  close_stream(io, &io->out, &io->out_watch);
  close_stream(io, &io->err, &io->err_watch);
  buffer_free(&io->input);
  *io = (struct process_io){.in = -1, .out = -1, .err = -1};
}
