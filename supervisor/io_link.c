#include "io_link.h"

#include <stdint.h>

#include "frame.h"

static size_t room(void *context) {
  struct io_link *session = context;
  return session->link ? link_room(session->link) : SIZE_MAX;
}

static void output(void *context, uint8_t type, const void *data, size_t length) {
  struct io_link *session = context;
  if (session->link) link_send(session->link, type, data, length);
}

static void input_full(void *context, bool full) {
  struct io_link *session = context;
  if (session->link) link_pause(session->link, full);
}

static void let_go(struct io_link *session) {
  struct link *link = session->link;
  session->link = NULL;
  link->owner = NULL;
  link->on_frame = NULL;
  link->on_writable = NULL;
  link->on_closed = NULL;
}

static void drained(void *context) {
  struct io_link *session = context;
  if (session->link) {
    struct link *link = session->link;
    let_go(session);
    finish_exit(link, session->status, session->out_of_memory);
  }
  if (session->on_done) session->on_done(session->context);
}

static const struct io_handlers handlers = {room, output, input_full, drained};

static void on_frame(struct link *link, const struct frame *frame) {
  struct io_link *session = link->owner;
  switch (frame->type) {
    case FRAME_STDIN: io_input(&session->io, frame->payload, frame->length); break;
    case FRAME_STDIN_END: io_input_end(&session->io); break;
    case FRAME_RESIZE:
      if (frame->length == 4) io_resize(&session->io, load_u16(frame->payload), load_u16(frame->payload + 2));
      break;
    case FRAME_SIGNAL:
      if (frame->length == 4 && session->on_signal)
        session->on_signal(session->context, (int)(load_u32(frame->payload) & 0x7f));
      break;
    default: break;
  }
}

static void on_writable(struct link *link) {
  struct io_link *session = link->owner;
  io_wake(&session->io);
}

static void on_closed(struct link *link) {
  struct io_link *session = link->owner;
  session->link = NULL;
  if (!session->io.terminal) io_input_end(&session->io);
  io_wake(&session->io);
}

void io_link_start(struct io_link *session, struct loop *loop, struct link *link, bool terminal, int in, int out,
                   int err) {
  session->link = link;
  if (link) {
    link->owner = session;
    link->on_frame = on_frame;
    link->on_writable = on_writable;
    link->on_closed = on_closed;
  }
  if (terminal)
    io_start_terminal(&session->io, loop, &handlers, session, out);
  else
    io_start(&session->io, loop, &handlers, session, in, out, err);
  if (!link && !terminal) io_input_end(&session->io);
}

void io_link_exited(struct io_link *session, int32_t status, bool out_of_memory) {
  session->status = status;
  session->out_of_memory = out_of_memory;
  io_exited(&session->io);
}

void io_link_close(struct io_link *session) {
  if (session->link) {
    struct link *link = session->link;
    let_go(session);
    link_finish(link);
  }
  io_close(&session->io);
}
