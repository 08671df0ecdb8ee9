/* Base64 (RFC 4648, with padding). */
#pragma once
#include <stdint.h>
#include <sys/types.h>

/* The bytes of `text`, to be freed, and how many; -1 for what is not base64. */
ssize_t base64_decode(const char *text, uint8_t **bytes);
/* `size` bytes as base64, to be freed. */
char *base64_encode(const void *bytes, size_t size);
