/* A growable queue of bytes: append at the end, consume at the start. A zeroed one is empty. */
#pragma once
#include <stddef.h>

struct buffer {
  char *memory;
  size_t start, end, capacity;
};

static inline size_t buffer_length(const struct buffer *buffer) { return buffer->end - buffer->start; }
static inline char *buffer_data(const struct buffer *buffer) { return buffer->memory + buffer->start; }

/* Room for `length` more bytes at the returned place; buffer_added() says how many were used. */
char *buffer_reserve(struct buffer *buffer, size_t length);
static inline void buffer_added(struct buffer *buffer, size_t length) { buffer->end += length; }

void buffer_append(struct buffer *buffer, const void *data, size_t length);
/* Drops bytes at the start. An emptied buffer gives large memory back. */
void buffer_consume(struct buffer *buffer, size_t length);
void buffer_free(struct buffer *buffer);
