/* Number fields and checksums of tar headers. */
#include <string.h>

#include "tar.h"

static int parse_base256(const unsigned char *field, size_t size, int64_t *value) {
  int negative = (field[0] & 0x40) != 0;
  uint64_t result = negative ? (uint64_t)-1 : 0;
  for (size_t i = 0; i < size; i++) {
    unsigned char byte = i == 0 ? (unsigned char)((field[0] & 0x3f) | (negative ? 0xc0 : 0)) : field[i];
    /* What is shifted out must be nothing but sign. */
    if ((result >> 55) != (negative ? (uint64_t)0x1ff : 0)) return -1;
    result = (result << 8) | byte;
  }
  *value = (int64_t)result;
  return (result >> 63) == (uint64_t)negative ? 0 : -1;
}

int tar_number_parse(const char *field, size_t size, int64_t *value) {
  if ((unsigned char)field[0] & 0x80) return parse_base256((const unsigned char *)field, size, value);
  size_t i = 0;
  while (i < size && field[i] == ' ')
    i++;
  uint64_t result = 0;
  for (; i < size && field[i] >= '0' && field[i] <= '7'; i++) {
    if (result >> 60) return -1;
    result = result << 3 | (uint64_t)(field[i] - '0');
  }
  for (; i < size; i++)
    if (field[i] != ' ' && field[i] != '\0') return -1;
  *value = (int64_t)result;
  return 0;
}

void tar_number_format(char *field, size_t size, uint64_t value) {
  size_t digits = size - 1;
  if (digits * 3 >= 64 || value >> (digits * 3) == 0) {
    field[digits] = '\0';
    for (size_t i = digits; i-- > 0; value >>= 3)
      field[i] = (char)('0' + (value & 7));
    return;
  }
  for (size_t i = size; i-- > 0; value >>= 8)
    field[i] = (char)(value & 0xff);
  field[0] = (char)(field[0] | 0x80);
}

unsigned tar_checksum(const struct tar_header *header, int is_signed) {
  const unsigned char *bytes = (const unsigned char *)header;
  size_t at = offsetof(struct tar_header, checksum);
  int sum = 0;
  for (size_t i = 0; i < TAR_BLOCK; i++) {
    unsigned char byte = i >= at && i < at + sizeof header->checksum ? ' ' : bytes[i];
    sum += is_signed ? (signed char)byte : byte;
  }
  return (unsigned)sum;
}
