#include "frame.h"

#include <stdlib.h>

/* Checks the header at `p`; returns the payload's length or -1. */
static int64_t check_header(const uint8_t *p, struct error *error) {
  uint32_t length = load_u32(p), type = load_u32(p + 8);
  if (type < FRAME_REQUEST || type > FRAME_CLOSE || length > FRAME_LIMIT)
    return error_set(error, "corrupt", "frame of type %u and length %u is not in the protocol", type, length);
  return length;
}

static int deliver(const uint8_t *p, uint32_t length, frame_callback *callback, void *context) {
  struct frame frame = {.type = p[8], .stream = load_u32(p + 4), .payload = p + FRAME_HEADER, .length = length};
  return callback(context, &frame);
}

int frame_push(struct frame_parser *parser, const void *data, size_t size, frame_callback *callback, void *context,
               struct error *error) {
  const uint8_t *next = data;
  /* First complete what is pending, taking no more bytes than its frame needs. */
  while (buffer_length(&parser->rest) > 0 && size > 0) {
    size_t have = buffer_length(&parser->rest), need = FRAME_HEADER;
    if (have >= FRAME_HEADER) need += load_u32((uint8_t *)buffer_data(&parser->rest));
    size_t take = need - have < size ? need - have : size;
    buffer_append(&parser->rest, next, take);
    next += take;
    size -= take;
    if (have + take < need) return 0;
    const uint8_t *p = (uint8_t *)buffer_data(&parser->rest);
    int64_t length = have < FRAME_HEADER ? check_header(p, error) : (int64_t)load_u32(p);
    if (length < 0) return -1;
    if (have + take < FRAME_HEADER + (size_t)length) continue;
    /* The callback may free the parser, so its bytes are taken out first. */
    struct buffer whole = parser->rest;
    parser->rest = (struct buffer){0};
    int stop = deliver((uint8_t *)buffer_data(&whole), (uint32_t)length, callback, context);
    buffer_free(&whole);
    if (stop < 0) return -1;
  }
  while (size >= FRAME_HEADER) {
    int64_t length = check_header(next, error);
    if (length < 0) return -1;
    size_t whole = FRAME_HEADER + (size_t)length;
    if (size < whole) break;
    if (deliver(next, (uint32_t)length, callback, context) < 0) return -1;
    next += whole;
    size -= whole;
  }
  if (size > 0) buffer_append(&parser->rest, next, size);
  return 0;
}

void frame_parser_free(struct frame_parser *parser) { buffer_free(&parser->rest); }

void frame_append(struct buffer *out, uint8_t type, uint32_t stream, const void *payload, size_t length) {
  if (length > FRAME_LIMIT) abort();
  uint8_t header[FRAME_HEADER] = {0};
  store_u32(header, (uint32_t)length);
  store_u32(header + 4, stream);
  header[8] = type;
  buffer_append(out, header, sizeof header);
  buffer_append(out, payload, length);
}
