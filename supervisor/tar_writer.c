#include "tar_writer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "tar.h"
#include "util.h"

#define MEMORY (256 * 1024)
#define XATTR_SIZE_LIMIT 65536

void tar_writer_open(struct tar_writer *writer, int fd) {
  *writer = (struct tar_writer){.fd = fd, .memory = xmalloc(MEMORY)};
}

void tar_writer_close(struct tar_writer *writer) {
  free(writer->memory);
  buffer_free(&writer->pax);
  writer->memory = NULL;
}

static int flush(struct tar_writer *writer, struct error *error) {
  if (write_all(writer->fd, writer->memory, writer->used) < 0)
    return error_errno(error, "the archive cannot be written");
  writer->used = 0;
  return 0;
}

static int put(struct tar_writer *writer, const void *data, size_t size, struct error *error) {
  for (const char *from = data; size > 0;) {
    if (writer->used == MEMORY && flush(writer, error) < 0) return -1;
    size_t part = MEMORY - writer->used < size ? MEMORY - writer->used : size;
    memcpy(writer->memory + writer->used, from, part);
    writer->used += part;
    from += part;
    size -= part;
  }
  return 0;
}

static int put_padding(struct tar_writer *writer, uint64_t size, struct error *error) {
  static const char zeros[TAR_BLOCK];
  return put(writer, zeros, (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK, error);
}

/* "LENGTH KEY=VALUE\n", where LENGTH counts its own digits. */
static void add_record(struct tar_writer *writer, const char *prefix, const char *key, const void *value,
                       size_t size) {
  size_t rest = strlen(prefix) + strlen(key) + size + 3, length = rest + 1;
  for (size_t digits = 1, limit = 10; length >= limit; limit *= 10)
    length = rest + ++digits;
  char head[32];
  buffer_append(&writer->pax, head, (size_t)snprintf(head, sizeof head, "%zu ", length));
  buffer_append(&writer->pax, prefix, strlen(prefix));
  buffer_append(&writer->pax, key, strlen(key));
  buffer_append(&writer->pax, "=", 1);
  buffer_append(&writer->pax, value, size);
  buffer_append(&writer->pax, "\n", 1);
}

static void add_number(struct tar_writer *writer, const char *key, uint64_t value, unsigned bits) {
  char text[32];
  if (value >> bits)
    add_record(writer, "", key, text, (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)value));
}

static void add_time(struct tar_writer *writer, struct timespec time) {
  if (time.tv_nsec == 0 && time.tv_sec >= 0 && (uint64_t)time.tv_sec >> 33 == 0) return;
  int negative = time.tv_sec < 0;
  uint64_t seconds = (uint64_t)time.tv_sec, nanoseconds = (uint64_t)time.tv_nsec;
  if (negative) {
    seconds = -seconds - (nanoseconds > 0);
    if (nanoseconds > 0) nanoseconds = 1000000000 - nanoseconds;
  }
  char text[48];
  int length = snprintf(text, sizeof text, "%s%llu.%09llu", negative ? "-" : "", (unsigned long long)seconds,
                        (unsigned long long)nanoseconds);
  while (text[length - 1] == '0')
    length--;
  if (text[length - 1] == '.') length--;
  add_record(writer, "", "mtime", text, (size_t)length);
}

/* Attributes that vanish or cannot be read meanwhile are left out. */
static void add_xattrs(struct tar_writer *writer, int fd) {
  ssize_t size = flistxattr(fd, NULL, 0);
  if (size <= 0 || size > XATTR_SIZE_LIMIT) return;
  cleanup_free char *names = xmalloc((size_t)size + 1);
  size = flistxattr(fd, names, (size_t)size);
  if (size <= 0) return;
  names[size] = '\0';
  cleanup_free char *value = xmalloc(XATTR_SIZE_LIMIT);
  unsigned count = 0;
  for (const char *name = names; name < names + size; name += strlen(name) + 1) {
    if (!tar_xattr_allowed(name) || strchr(name, '=') || count == TAR_XATTRS) continue;
    ssize_t length = fgetxattr(fd, name, value, XATTR_SIZE_LIMIT);
    if (length < 0) continue;
    add_record(writer, "SCHILY.xattr.", name, value, (size_t)length);
    count++;
  }
}

static int put_header(struct tar_writer *writer, char type, const char *name, const char *target, uint64_t size,
                      const struct stat *facts, struct error *error) {
  struct tar_header header = {.type = type, .magic = "ustar", .version = {'0', '0'}};
  memcpy(header.name, name, strnlen(name, sizeof header.name));
  if (target) memcpy(header.linkname, target, strnlen(target, sizeof header.linkname));
  /* What does not fit stands in the pax header before. */
  uint64_t mtime =
      facts->st_mtim.tv_sec < 0 || (uint64_t)facts->st_mtim.tv_sec >> 33 ? 0 : (uint64_t)facts->st_mtim.tv_sec;
  tar_number_format(header.mode, sizeof header.mode, facts->st_mode & 07777);
  tar_number_format(header.uid, sizeof header.uid, facts->st_uid >> 21 ? 0 : facts->st_uid);
  tar_number_format(header.gid, sizeof header.gid, facts->st_gid >> 21 ? 0 : facts->st_gid);
  tar_number_format(header.size, sizeof header.size, size >> 33 ? 0 : size);
  tar_number_format(header.mtime, sizeof header.mtime, mtime);
  if (type == '3' || type == '4') {
    tar_number_format(header.devmajor, sizeof header.devmajor, major(facts->st_rdev));
    tar_number_format(header.devminor, sizeof header.devminor, minor(facts->st_rdev));
  }
  snprintf(header.checksum, sizeof header.checksum, "%06o", tar_checksum(&header, 0));
  header.checksum[7] = ' ';
  return put(writer, &header, sizeof header, error);
}

int tar_write_entry(struct tar_writer *writer, char type, const char *name, const char *target,
                    const struct stat *facts, int xattrs_of, struct error *error) {
  uint64_t size = type == '0' ? (uint64_t)facts->st_size : 0;
  buffer_consume(&writer->pax, buffer_length(&writer->pax));
  if (strlen(name) > 100) add_record(writer, "", "path", name, strlen(name));
  if (target && strlen(target) > 100) add_record(writer, "", "linkpath", target, strlen(target));
  add_number(writer, "size", size, 33);
  add_number(writer, "uid", facts->st_uid, 21);
  add_number(writer, "gid", facts->st_gid, 21);
  add_time(writer, facts->st_mtim);
  if (xattrs_of >= 0) add_xattrs(writer, xattrs_of);
  size_t length = buffer_length(&writer->pax);
  if (length > 0) {
    struct stat plain = {.st_mode = 0644};
    if (put_header(writer, 'x', "pax", NULL, length, &plain, error) < 0) return -1;
    if (put(writer, buffer_data(&writer->pax), length, error) < 0 || put_padding(writer, length, error) < 0)
      return -1;
  }
  return put_header(writer, type, name, target, size, facts, error);
}

int tar_write_content(struct tar_writer *writer, int from, uint64_t size, struct error *error) {
  for (uint64_t left = size; left > 0;) {
    if (writer->used == MEMORY && flush(writer, error) < 0) return -1;
    size_t room = MEMORY - writer->used, part = left < room ? (size_t)left : room;
    ssize_t got = read(from, writer->memory + writer->used, part);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return error_errno(error, "a file cannot be read");
    if (got == 0) {
      memset(writer->memory + writer->used, 0, part);
      got = (ssize_t)part;
    }
    writer->used += (size_t)got;
    left -= (uint64_t)got;
  }
  return put_padding(writer, size, error);
}

int tar_write_end(struct tar_writer *writer, struct error *error) {
  static const char zeros[2 * TAR_BLOCK];
  return put(writer, zeros, sizeof zeros, error) < 0 ? -1 : flush(writer, error);
}
