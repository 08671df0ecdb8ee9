/* Any bytes as an archive: the reader ends, in order or with an error, and what it gives keeps its promises. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../tar.h"

struct input {
  const uint8_t *data;
  size_t size;
};

static ssize_t feed(void *arg, void *buffer, size_t size) {
  struct input *input = arg;
  /* In uneven pieces, as pipes give them. */
  size_t part = input->size < size ? input->size : size;
  if (part > 700) part = 700;
  memcpy(buffer, input->data, part);
  input->data += part;
  input->size -= part;
  return (ssize_t)part;
}

static void require(int condition) {
  if (!condition) abort();
}

/* No "..", no empty or "." part, no slash at either end. */
static void check_name(const char *name, unsigned depth) {
  unsigned parts = 0;
  if (*name == '\0') return;
  for (const char *at = name;; at++) {
    size_t length = strcspn(at, "/");
    require(length > 0 && !(length == 1 && *at == '.') && !(length == 2 && memcmp(at, "..", 2) == 0));
    parts++;
    at += length;
    if (*at == '\0') break;
  }
  require(parts <= depth);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {data, size};
  struct error error;
  struct tar_entry entry;
  struct tar_reader reader = {.source = feed, .arg = &input, .limits = ARCHIVE_LIMITS};
  if (size > 0) reader.end_optional = data[size - 1] & 1;
  reader.limits.pax = 4096;
  reader.limits.depth = 16;
  reader.limits.name = 1000;
  require(tar_reader_open(&reader, &error) == 0);
  int more;
  while ((more = tar_next(&reader, &entry, &error)) > 0) {
    require(strchr("0123456", entry.type) != NULL && entry.type != '\0');
    require(strlen(entry.name) <= 1000);
    check_name(entry.name, 16);
    require((entry.target != NULL) == (entry.type == '1' || entry.type == '2'));
    if (entry.type == '1') check_name(entry.target, 16);
    if (entry.target) require(*entry.target != '\0');
    require((entry.mode & ~07777u) == 0 && (entry.size == 0 || entry.type == '0'));
    require(entry.mtime.tv_nsec >= 0 && entry.mtime.tv_nsec < 1000000000);
    unsigned sum = 0;
    for (size_t i = 0; i < entry.xattr_count; i++) {
      require(tar_xattr_allowed(entry.xattrs[i].name));
      for (size_t j = 0; j < entry.xattrs[i].size; j++)
        sum += (unsigned char)entry.xattrs[i].value[j];
    }
    if (sum % 3 == 0) continue; /* skipped unread */
    const char *piece;
    size_t length;
    uint64_t total = 0;
    int there;
    while ((there = tar_content(&reader, &piece, &length, &error)) > 0) {
      require(length > 0);
      total += length;
    }
    if (entry.type == '0') require(there < 0 || total == entry.size);
  }
  if (more < 0) require(error.code != NULL && error.message[0] != '\0');
  tar_reader_close(&reader);
  return 0;
}

static uint32_t next_random(uint32_t *state) { return *state = *state * 1664525u + 1013904223u; }

/* Mutates as libFuzzer does, then often mends the checksums, so that it gets past them. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed) {
  uint32_t state = seed;
  size_t length = size;
  if (size >= TAR_BLOCK && next_random(&state) >> 30 != 0) {
    /* Within one block, so that the blocks stay in line. */
    size_t block = (next_random(&state) >> 8) % (size / TAR_BLOCK) * TAR_BLOCK;
    uint8_t copy[TAR_BLOCK];
    memcpy(copy, data + block, TAR_BLOCK);
    LLVMFuzzerMutate(copy, TAR_BLOCK, TAR_BLOCK);
    memcpy(data + block, copy, TAR_BLOCK);
  } else {
    length = LLVMFuzzerMutate(data, size, max_size);
  }
  for (size_t block = 0; block + TAR_BLOCK <= length; block += TAR_BLOCK) {
    struct tar_header header;
    memcpy(&header, data + block, TAR_BLOCK);
    if (memcmp(header.magic, "ustar", 5) != 0) continue;
    memcpy(header.checksum, "0000000", 8);
    unsigned sum = tar_checksum(&header, 0);
    for (size_t i = 6; i-- > 0; sum >>= 3)
      header.checksum[i] = (char)('0' + (sum & 7));
    header.checksum[6] = '\0';
    header.checksum[7] = ' ';
    memcpy(data + block, &header, TAR_BLOCK);
  }
  return length;
}
