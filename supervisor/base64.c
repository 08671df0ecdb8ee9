#include "base64.h"

#include <string.h>

#include "util.h"

static int value_of(char digit) {
  if (digit >= 'A' && digit <= 'Z') return digit - 'A';
  if (digit >= 'a' && digit <= 'z') return digit - 'a' + 26;
  if (digit >= '0' && digit <= '9') return digit - '0' + 52;
  if (digit == '+') return 62;
  return digit == '/' ? 63 : -1;
}

ssize_t base64_decode(const char *text, uint8_t **bytes) {
  size_t length = strlen(text), size = 0;
  *bytes = NULL;
  if (length % 4) return -1;
  size_t padding = length == 0 ? 0 : (size_t)(text[length - 1] == '=') + (size_t)(text[length - 2] == '=');
  if (padding == 1 && text[length - 2] == '=') return -1;
  uint8_t *out = xmalloc(length / 4 * 3);
  uint32_t group = 0;
  for (size_t i = 0; i < length; i++) {
    int value = i >= length - padding ? 0 : value_of(text[i]);
    if (value < 0) {
      free(out);
      return -1;
    }
    group = group << 6 | (uint32_t)value;
    if (i % 4 != 3) continue;
    for (int shift = 16; shift >= 0; shift -= 8) out[size++] = (uint8_t)(group >> shift);
    group = 0;
  }
  *bytes = out;
  return (ssize_t)(size - padding);
}

char *base64_encode(const void *bytes, size_t size) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const uint8_t *in = bytes;
  char *text = xmalloc((size + 2) / 3 * 4 + 1), *out = text;
  for (size_t i = 0; i < size; i += 3, out += 4) {
    size_t left = size - i;
    uint32_t group = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (left > 2 ? in[i + 2] : 0);
    out[0] = digits[group >> 18];
    out[1] = digits[group >> 12 & 63];
    out[2] = left > 1 ? digits[group >> 6 & 63] : '=';
    out[3] = left > 2 ? digits[group & 63] : '=';
  }
  *out = 0;
  return text;
}
