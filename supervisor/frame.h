/* Frames of docs/PROTOCOL.md: u32 length, u32 stream, u8 type, three zero bytes, payload; little endian. */
#pragma once
#include <stdint.h>

#include "buffer.h"
#include "error.h"

enum frame_type {
  FRAME_REQUEST = 1,
  FRAME_REPLY = 2,
  FRAME_EVENT = 3,
  FRAME_STDIN = 4,
  FRAME_STDIN_END = 5,
  FRAME_STDOUT = 6,
  FRAME_STDERR = 7,
  FRAME_RESIZE = 8,
  FRAME_SIGNAL = 9,
  FRAME_EXIT = 10,
  FRAME_CREDIT = 11,
  FRAME_CLOSE = 12,
};

enum { FRAME_HEADER = 12, FRAME_LIMIT = 1 << 20 };

struct frame {
  uint8_t type;
  uint32_t stream;
  /* Valid until the callback returns. */
  const uint8_t *payload;
  uint32_t length;
};

/*
 * Called for each whole frame. Returning negative stops the parser at once: frame_push then returns -1 without
 * touching the parser again, so the callback may have freed it.
 */
typedef int frame_callback(void *context, const struct frame *frame);

/* Holds the piece of a frame that has not arrived whole; zeroed: empty. Never more than one frame. */
struct frame_parser {
  struct buffer rest;
};

/* Feeds bytes. Returns -1 with error code "corrupt" for what is no frame: end the channel then. */
int frame_push(struct frame_parser *parser, const void *data, size_t length, frame_callback *callback, void *context,
               struct error *error);
void frame_parser_free(struct frame_parser *parser);

/* Appends one frame; a longer payload than FRAME_LIMIT is a bug and aborts. */
void frame_append(struct buffer *out, uint8_t type, uint32_t stream, const void *payload, size_t length);

/* Little-endian numbers at any alignment. */
static inline uint16_t load_u16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static inline uint32_t load_u32(const uint8_t *p) {
  return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline void store_u32(uint8_t *p, uint32_t value) {
  for (int i = 0; i < 4; i++) p[i] = (uint8_t)(value >> (8 * i));
}
