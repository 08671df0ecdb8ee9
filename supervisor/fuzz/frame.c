/* Any bytes as frames, in any pieces: bounded frames or an error, and the same ones however the bytes are cut. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../frame.h"

struct seen {
  unsigned count;
  uint32_t sum;
};

static int take(void *context, const struct frame *frame) {
  struct seen *seen = context;
  if (frame->length > FRAME_LIMIT || frame->type < FRAME_REQUEST || frame->type > FRAME_CLOSE) abort();
  seen->count++;
  seen->sum = seen->sum * 31 + frame->type + frame->stream * 7 + frame->length * 13;
  for (uint32_t i = 0; i < frame->length; i++)
    seen->sum = seen->sum * 31 + frame->payload[i];
  return 0;
}

static int feed(const uint8_t *data, size_t size, size_t piece, struct seen *seen) {
  struct frame_parser parser = {0};
  int result = 0;
  for (size_t at = 0; at < size && result == 0; at += piece)
    result = frame_push(&parser, data + at, size - at < piece ? size - at : piece, take, seen, NULL);
  frame_parser_free(&parser);
  return result < 0 ? -1 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1) return 0;
  struct seen whole = {0}, pieces = {0};
  int one = feed(data + 1, size - 1, size, &whole), other = feed(data + 1, size - 1, data[0] % 20 + 1, &pieces);
  if (one != other || whole.count != pieces.count || whole.sum != pieces.sum) abort();
  return 0;
}
