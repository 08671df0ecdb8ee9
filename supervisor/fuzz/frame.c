/* Frames in pieces of any size: what one push accepts, many pushes accept, with the same frames. */
#include "frame.h"

#include <stdlib.h>

struct sum {
  uint64_t frames, hash;
};

static int take(void *context, const struct frame *frame) {
  struct sum *sum = context;
  sum->frames++;
  sum->hash = sum->hash * 31 + frame->type + frame->stream;
  for (uint32_t i = 0; i < frame->length; i++) sum->hash = sum->hash * 31 + frame->payload[i];
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1) return 0;
  size_t step = data[0] + 1;
  data++, size--;
  struct sum whole = {0}, pieces = {0};
  struct frame_parser parser = {0};
  int first = frame_push(&parser, data, size, take, &whole, NULL);
  frame_parser_free(&parser);
  parser = (struct frame_parser){0};
  int second = 0;
  for (size_t at = 0; at < size && second == 0; at += step)
    second = frame_push(&parser, data + at, step < size - at ? step : size - at, take, &pieces, NULL);
  frame_parser_free(&parser);
  if (first != second || whole.frames != pieces.frames || whole.hash != pieces.hash) abort();
  return 0;
}
