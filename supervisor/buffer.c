#include "buffer.h"

#include <stdlib.h>
#include <string.h>

#include "util.h"

enum { keep_when_empty = 128 << 10 };

char *buffer_reserve(struct buffer *buffer, size_t length) {
  if (buffer->capacity - buffer->end >= length && buffer->memory) return buffer->memory + buffer->end;
  size_t used = buffer_length(buffer);
  /* Moving to the front first pays only when that alone makes enough room. */
  if (buffer->memory && buffer->start >= used && buffer->capacity - used >= length) {
    memcpy(buffer->memory, buffer->memory + buffer->start, used);
  } else {
    size_t capacity = buffer->capacity ? buffer->capacity : 4096;
    while (capacity - used < length) {
      if (capacity > SIZE_MAX / 2) abort();
      capacity *= 2;
    }
    char *memory = xmalloc(capacity);
    if (used) memcpy(memory, buffer->memory + buffer->start, used);
    free(buffer->memory);
    buffer->memory = memory;
    buffer->capacity = capacity;
  }
  buffer->start = 0;
  buffer->end = used;
  return buffer->memory + used;
}

void buffer_append(struct buffer *buffer, const void *data, size_t length) {
  if (length == 0) return;
  memcpy(buffer_reserve(buffer, length), data, length);
  buffer->end += length;
}

void buffer_consume(struct buffer *buffer, size_t length) {
  buffer->start += length;
  if (buffer->start < buffer->end) return;
  buffer->start = buffer->end = 0;
  if (buffer->capacity > keep_when_empty) buffer_free(buffer);
}

void buffer_free(struct buffer *buffer) {
  free(buffer->memory);
  *buffer = (struct buffer){0};
}
