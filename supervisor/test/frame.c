/* The frame parser: any split of the bytes gives the same frames; what is no frame ends it. */
#include "frame.h"

#include "check.h"
#include "util.h"

struct seen {
  unsigned count, bytes, stop_at;
  uint8_t last_type;
  uint32_t last_stream;
  struct frame_parser *parser;
};

static int take(void *context, const struct frame *frame) {
  struct seen *seen = context;
  seen->count++;
  seen->bytes += frame->length;
  seen->last_type = frame->type;
  seen->last_stream = frame->stream;
  for (uint32_t i = 0; i < frame->length; i++) CHECK(frame->payload[i] == (uint8_t)(i * 7 + frame->stream));
  if (seen->count != seen->stop_at) return 0;
  frame_parser_free(seen->parser);
  memset(seen->parser, 0xee, sizeof *seen->parser); /* the parser must not touch it any more */
  return -1;
}

static void add(struct buffer *out, uint8_t type, uint32_t stream, uint32_t length) {
  cleanup_free uint8_t *payload = xmalloc(length);
  for (uint32_t i = 0; i < length; i++) payload[i] = (uint8_t)(i * 7 + stream);
  frame_append(out, type, stream, payload, length);
}

int main(void) {
  struct buffer all = {0};
  const uint32_t lengths[] = {0, 1, 5, 4096, 0, 70000, FRAME_LIMIT, 3};
  uint32_t total = 0;
  for (uint32_t i = 0; i < countof(lengths); i++) {
    add(&all, (uint8_t)(1 + i), i * 1000003u, lengths[i]);
    total += lengths[i];
  }
  const size_t steps[] = {1, 3, 11, 12, 13, 4097, 65536, 1 << 24};
  for (size_t s = 0; s < countof(steps); s++) {
    struct frame_parser parser = {0};
    struct seen seen = {0};
    for (size_t at = 0, left = buffer_length(&all); left > 0;) {
      size_t step = steps[s] < left ? steps[s] : left;
      CHECK(frame_push(&parser, buffer_data(&all) + at, step, take, &seen, NULL) == 0);
      at += step;
      left -= step;
    }
    CHECK(seen.count == countof(lengths) && seen.bytes == total);
    CHECK(seen.last_type == countof(lengths) && seen.last_stream == (countof(lengths) - 1) * 1000003u);
    CHECK(buffer_length(&parser.rest) == 0);
    frame_parser_free(&parser);
  }
  /* A callback that stops, with the parser freed under it: at a whole frame and at a pieced one. */
  for (size_t step = 5; step <= 500000; step *= 10) {
    struct frame_parser parser = {0};
    struct seen seen = {.stop_at = 3, .parser = &parser};
    size_t at = 0;
    int result = 0;
    while (result == 0) {
      result = frame_push(&parser, buffer_data(&all) + at, step, take, &seen, NULL);
      at += step;
    }
    CHECK(result == -1 && seen.count == 3);
  }
  /* Wrong: type 0, type 13, a set reserved byte, a length over the limit; whole and byte by byte. */
  const uint8_t wrong[][FRAME_HEADER] = {
      {0, 0, 0, 0, 0, 0, 0, 0, 0},
      {0, 0, 0, 0, 0, 0, 0, 0, 13},
      {0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1},
      {1, 0, 0x10, 0, 0, 0, 0, 0, 1},
      {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 4},
  };
  for (size_t i = 0; i < countof(wrong); i++) {
    struct error error = {0};
    struct seen seen = {0};
    struct frame_parser parser = {0};
    CHECK(frame_push(&parser, wrong[i], FRAME_HEADER, take, &seen, &error) == -1);
    CHECK(strcmp(error.code, "corrupt") == 0);
    frame_parser_free(&parser);
    parser = (struct frame_parser){0};
    int result = 0;
    for (int byte = 0; byte < FRAME_HEADER && result == 0; byte++)
      result = frame_push(&parser, wrong[i] + byte, 1, take, &seen, &error);
    CHECK(result == -1 && seen.count == 0);
    frame_parser_free(&parser);
  }
  buffer_free(&all);
  return 0;
}
