#include "fanout.h"

#include <stdlib.h>

#include "util.h"

struct attachment {
  struct fanout *fanout;
  struct link *link;
  struct attachment *next;
  bool takes_out, takes_err, gives_in;
};

static void forget(struct attachment *attachment) {
  for (struct attachment **place = &attachment->fanout->first; *place; place = &(*place)->next)
    if (*place == attachment) {
      *place = attachment->next;
      break;
    }
  attachment->link->owner = NULL;
  attachment->link->on_frame = NULL;
  attachment->link->on_closed = NULL;
  free(attachment);
}

static void input_end(struct fanout *fanout) {
  if (fanout->started)
    fanout->handlers->input_end(fanout->context);
  else
    fanout->early_end = true;
}

void fanout_resize(struct fanout *fanout, uint16_t rows, uint16_t columns) {
  fanout->early_rows = rows;
  fanout->early_columns = columns;
  if (fanout->started) fanout->handlers->resize(fanout->context, rows, columns);
}

static void on_frame(struct link *link, const struct frame *frame) {
  struct attachment *attachment = link->owner;
  struct fanout *fanout = attachment->fanout;
  switch (frame->type) {
    case FRAME_STDIN:
      if (!attachment->gives_in) break;
      if (fanout->started) {
        if (fanout->open_stdin) fanout->handlers->input(fanout->context, frame->payload, frame->length);
      } else if (!fanout->early_end) {
        buffer_append(&fanout->early, frame->payload, frame->length);
        link_pause(link, true); /* until the start */
      }
      break;
    case FRAME_STDIN_END:
      if (attachment->gives_in && (!fanout->started || fanout->open_stdin)) input_end(fanout);
      break;
    case FRAME_RESIZE:
      if (frame->length == 4) fanout_resize(fanout, load_u16(frame->payload), load_u16(frame->payload + 2));
      break;
    case FRAME_SIGNAL:
      if (frame->length == 4 && fanout->started)
        fanout->handlers->signal(fanout->context, (int)(load_u32(frame->payload) & 0x7f));
      break;
    default: break;
  }
}

static void on_closed(struct link *link) {
  struct attachment *attachment = link->owner;
  struct fanout *fanout = attachment->fanout;
  bool gave_in = attachment->gives_in;
  forget(attachment);
  if (gave_in && fanout->started && fanout->stdin_once) input_end(fanout);
}

void fanout_attach(struct fanout *fanout, struct link *link, const struct request *request) {
  struct attachment *attachment = xzalloc(sizeof *attachment);
  *attachment = (struct attachment){
      .fanout = fanout,
      .link = link,
      .next = fanout->first,
      .takes_out = request->stdout_wanted,
      .takes_err = request->stderr_wanted,
      .gives_in = request->stdin_wanted,
  };
  fanout->first = attachment;
  link->owner = attachment;
  link->on_frame = on_frame;
  link->on_closed = on_closed;
  reply_ok(link, NULL);
  if (attachment->gives_in && fanout->started && fanout->input_full) link_pause(link, true);
}

static void pause_all(struct fanout *fanout, bool paused) {
  for (struct attachment *one = fanout->first; one; one = one->next)
    if (one->gives_in) link_pause(one->link, paused);
}

void fanout_started(struct fanout *fanout, bool open_stdin, bool stdin_once) {
  fanout->started = true;
  fanout->open_stdin = open_stdin;
  fanout->stdin_once = stdin_once;
  if (fanout->early_rows && fanout->early_columns)
    fanout->handlers->resize(fanout->context, fanout->early_rows, fanout->early_columns);
  if (open_stdin && buffer_length(&fanout->early) > 0)
    fanout->handlers->input(fanout->context, buffer_data(&fanout->early), buffer_length(&fanout->early));
  buffer_free(&fanout->early);
  if (open_stdin && fanout->early_end) fanout->handlers->input_end(fanout->context);
  if (!fanout->input_full) pause_all(fanout, false);
}

void fanout_output(struct fanout *fanout, uint8_t type, const void *data, size_t length) {
  if (fanout->log) log_write(fanout->log, type, data, length);
  for (struct attachment *one = fanout->first, *next; one; one = next) {
    next = one->next;
    if (!(type == FRAME_STDERR ? one->takes_err : one->takes_out)) continue;
    struct link *link = one->link;
    if (link_queued(link) + length <= ATTACH_LAG_LIMIT) {
      link_send(link, type, data, length);
      continue;
    }
    bool gave_in = one->gives_in;
    forget(one);
    link_send(link, FRAME_CLOSE, NULL, 0);
    link_finish(link);
    if (gave_in && fanout->stdin_once) input_end(fanout);
  }
}

void fanout_input_full(struct fanout *fanout, bool full) {
  fanout->input_full = full;
  pause_all(fanout, full);
}

void fanout_exit(struct fanout *fanout, int32_t status, bool out_of_memory) {
  while (fanout->first) {
    struct link *link = fanout->first->link;
    forget(fanout->first);
    finish_exit(link, status, out_of_memory);
  }
  buffer_free(&fanout->early);
}

void fanout_close(struct fanout *fanout) {
  while (fanout->first) {
    struct link *link = fanout->first->link;
    forget(fanout->first);
    link_finish(link);
  }
  buffer_free(&fanout->early);
}
