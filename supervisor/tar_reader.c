/* Reads an archive entry by entry. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "error.h"
#include "tar.h"

#define BUFFER_SIZE (256 * 1024)

int tar_reader_open(struct tar_reader *reader, struct error *error) {
  reader->buffer = malloc(BUFFER_SIZE);
  return reader->buffer == NULL ? error_set(error, "exhausted", "no memory to read an archive") : 0;
}

static void forget_extensions(struct tar_reader *reader) {
  char **kept[] = {&reader->pax_data, &reader->long_name, &reader->long_target, &reader->name, &reader->target};
  for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
    free(*kept[i]);
    *kept[i] = NULL;
  }
  reader->pax.set = 0;
  reader->pax.xattr_count = 0;
  reader->pax.xattr_skipped = 0;
}

void tar_reader_close(struct tar_reader *reader) {
  forget_extensions(reader);
  free(reader->buffer);
  reader->buffer = NULL;
}

/* Reads more behind what is in the buffer; 1, or 0 at the end of input. */
static int fill(struct tar_reader *reader, struct error *error) {
  if (reader->start == reader->end) reader->start = reader->end = 0;
  if (reader->end == BUFFER_SIZE) {
    memmove(reader->buffer, reader->buffer + reader->start, reader->end - reader->start);
    reader->end -= reader->start;
    reader->start = 0;
  }
  ssize_t got = reader->source(reader->arg, reader->buffer + reader->end, BUFFER_SIZE - reader->end);
  if (got < 0) return error_errno(error, "the archive cannot be read");
  reader->end += (size_t)got;
  reader->bytes += (uint64_t)got;
  if (reader->bytes > reader->limits.bytes)
    return error_set(error, "exhausted", "the archive is larger than the limit of %llu bytes",
                     (unsigned long long)reader->limits.bytes);
  return got > 0;
}

/* The next block; 1, or 0 when the input ends before its first byte. */
static int next_block(struct tar_reader *reader, struct tar_header *header, struct error *error) {
  while (reader->end - reader->start < TAR_BLOCK) {
    int more = fill(reader, error);
    if (more < 0) return -1;
    if (more == 0 && reader->start == reader->end) return 0;
    if (more == 0) return error_set(error, "corrupt", "the archive is cut off within a header");
  }
  memcpy(header, reader->buffer + reader->start, TAR_BLOCK);
  reader->start += TAR_BLOCK;
  return 1;
}

/* Takes up to `size` bytes out of the buffer, at least one. */
static int take(struct tar_reader *reader, uint64_t size, const char **data, size_t *taken, struct error *error) {
  if (reader->start == reader->end) {
    int more = fill(reader, error);
    if (more <= 0)
      return more < 0 ? -1 : error_set(error, "corrupt", "the archive is cut off within a file's content");
  }
  size_t there = reader->end - reader->start;
  *taken = there < size ? there : (size_t)size;
  *data = reader->buffer + reader->start;
  reader->start += *taken;
  return 0;
}

static int skip(struct tar_reader *reader, uint64_t *left, struct error *error) {
  const char *data = NULL;
  size_t size = 0;
  for (; *left > 0; *left -= size)
    if (take(reader, *left, &data, &size, error) < 0) return -1;
  return 0;
}

int tar_content(struct tar_reader *reader, const char **data, size_t *size, struct error *error) {
  if (reader->content == 0) return 0;
  if (take(reader, reader->content, data, size, error) < 0) return -1;
  reader->content -= *size;
  return 1;
}

static uint64_t padding_of(uint64_t size) { return (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK; }

/* The content of an extension header, with a NUL behind it. */
static int read_extension(struct tar_reader *reader, uint64_t size, uint64_t limit, char **text,
                          struct error *error) {
  if (size > limit)
    return error_set(error, "exhausted", "a header extension of %llu bytes is over the limit of %llu",
                     (unsigned long long)size, (unsigned long long)limit);
  free(*text);
  *text = malloc(size + 1);
  if (*text == NULL) return error_set(error, "exhausted", "no memory for a header extension");
  (*text)[size] = '\0';
  for (uint64_t at = 0; at < size;) {
    const char *data = NULL;
    size_t got = 0;
    if (take(reader, size - at, &data, &got, error) < 0) return -1;
    memcpy(*text + at, data, got);
    at += got;
  }
  uint64_t padding = padding_of(size);
  return skip(reader, &padding, error);
}

static int read_pax(struct tar_reader *reader, uint64_t size, int global, struct error *error) {
  struct tar_pax *pax = global ? &reader->global : &reader->pax;
  char *text = NULL;
  int result = read_extension(reader, size, reader->limits.pax, &text, error);
  if (!global) {
    /* A second one replaces the first. */
    memset(pax, 0, offsetof(struct tar_pax, xattrs));
    pax->xattr_count = pax->xattr_skipped = 0;
  }
  if (result == 0) result = tar_pax_parse(pax, text, size, global, error);
  if (global) {
    free(text); /* only numbers are kept of it */
  } else {
    free(reader->pax_data);
    reader->pax_data = text;
  }
  return result;
}

static char *field_text(const char *field, size_t size) { return strndup(field, size); }

/* Brings a name into the form of tar_entry.name, in place. */
static int clean_name(const struct tar_reader *reader, char *name, struct error *error) {
  char *to = name;
  unsigned depth = 0;
  if (*name == '\0') return error_set(error, "corrupt", "an entry has no name");
  for (const char *at = name; *at != '\0';) {
    size_t length = strcspn(at, "/");
    if (length == 2 && memcmp(at, "..", 2) == 0)
      return error_set(error, "invalid", "the archive has a name with \"..\" in it: %.200s", name);
    if (length > 0 && !(length == 1 && *at == '.')) {
      if (++depth > reader->limits.depth)
        return error_set(error, "exhausted", "the archive has a name of more than %u parts",
                         (unsigned)reader->limits.depth);
      if (to != name) *to++ = '/';
      memmove(to, at, length);
      to += length;
    }
    at += length + (at[length] == '/');
  }
  *to = '\0';
  return 0;
}

static int take_names(struct tar_reader *reader, const struct tar_header *header, struct tar_entry *entry,
                      struct error *error) {
  int ustar = memcmp(header->magic, "ustar", 6) == 0;
  if (reader->pax.set & PAX_PATH) {
    reader->name = strdup(reader->pax.path);
  } else if (reader->long_name != NULL) {
    reader->name = reader->long_name;
    reader->long_name = NULL;
  } else if (ustar && header->prefix[0] != '\0') {
    reader->name = malloc(sizeof header->prefix + sizeof header->name + 2);
    if (reader->name != NULL) {
      size_t length = strnlen(header->prefix, sizeof header->prefix);
      size_t rest = strnlen(header->name, sizeof header->name);
      memcpy(reader->name, header->prefix, length);
      reader->name[length] = '/';
      memcpy(reader->name + length + 1, header->name, rest);
      reader->name[length + 1 + rest] = '\0';
    }
  } else {
    reader->name = field_text(header->name, sizeof header->name);
  }
  if (entry->type == '1' || entry->type == '2') {
    if (reader->pax.set & PAX_LINKPATH) {
      reader->target = strdup(reader->pax.linkpath);
    } else if (reader->long_target != NULL) {
      reader->target = reader->long_target;
      reader->long_target = NULL;
    } else {
      reader->target = field_text(header->linkname, sizeof header->linkname);
    }
    if (reader->target == NULL) return error_set(error, "exhausted", "no memory for a name");
  }
  if (reader->name == NULL) return error_set(error, "exhausted", "no memory for a name");
  if (strlen(reader->name) > reader->limits.name ||
      (reader->target != NULL && strlen(reader->target) > reader->limits.name))
    return error_set(error, "exhausted", "the archive has a name of more than %u bytes",
                     (unsigned)reader->limits.name);
  size_t length = strlen(reader->name);
  if (entry->type == '0' && length > 0 && reader->name[length - 1] == '/')
    entry->type = '5'; /* as archives older than POSIX have it */
  if (clean_name(reader, reader->name, error) < 0) return -1;
  if (entry->type == '1' && clean_name(reader, reader->target, error) < 0) return -1;
  if (reader->target != NULL && reader->target[0] == '\0')
    return error_set(error, "corrupt", "the link %.200s has no target", reader->name);
  entry->name = reader->name;
  entry->target = reader->target;
  return 0;
}

static int take_device(const struct tar_header *header, struct tar_entry *entry, struct error *error) {
  int64_t major_number, minor_number;
  if (tar_number_parse(header->devmajor, sizeof header->devmajor, &major_number) < 0 ||
      tar_number_parse(header->devminor, sizeof header->devminor, &minor_number) < 0 || major_number < 0 ||
      minor_number < 0 || major_number > 0xfff || minor_number > 0xfffff)
    return error_set(error, "corrupt", "the device %.200s has no proper number", entry->name);
  entry->device = makedev((unsigned)major_number, (unsigned)minor_number);
  return 0;
}

/* A number of the header unless one of the pax headers gives it. */
static int take_number(const struct tar_reader *reader, int field, const char *text, size_t size, int64_t *value) {
  const struct tar_pax *from = reader->pax.set & (unsigned)field      ? &reader->pax
                               : reader->global.set & (unsigned)field ? &reader->global
                                                                      : NULL;
  if (from != NULL) {
    *value = (int64_t)(field == PAX_SIZE ? from->size : field == PAX_UID ? from->uid : from->gid);
    return 0;
  }
  return tar_number_parse(text, size, value);
}

static int take_numbers(const struct tar_reader *reader, const struct tar_header *header, struct tar_entry *entry,
                        struct error *error) {
  int64_t mode, uid, gid, size, mtime;
  if (tar_number_parse(header->mode, sizeof header->mode, &mode) < 0 ||
      take_number(reader, PAX_UID, header->uid, sizeof header->uid, &uid) < 0 ||
      take_number(reader, PAX_GID, header->gid, sizeof header->gid, &gid) < 0 ||
      take_number(reader, PAX_SIZE, header->size, sizeof header->size, &size) < 0 ||
      tar_number_parse(header->mtime, sizeof header->mtime, &mtime) < 0)
    return error_set(error, "corrupt", "a header has a malformed number: %.100s", header->name);
  if (uid < 0 || uid > 0xfffffffe || gid < 0 || gid > 0xfffffffe)
    return error_set(error, "invalid", "owner %lld:%lld of %.100s is not usable", (long long)uid, (long long)gid,
                     header->name);
  if (size < 0 || size > INT64_MAX - TAR_BLOCK)
    return error_set(error, "corrupt", "size %lld of %.100s is not usable", (long long)size, header->name);
  entry->mode = (mode_t)mode & 07777;
  entry->uid = (uid_t)uid;
  entry->gid = (gid_t)gid;
  entry->size = (uint64_t)size;
  entry->mtime = reader->pax.set & PAX_MTIME      ? reader->pax.mtime
                 : reader->global.set & PAX_MTIME ? reader->global.mtime
                                                  : (struct timespec){.tv_sec = mtime};
  return 0;
}

static int take_entry(struct tar_reader *reader, const struct tar_header *header, struct tar_entry *entry,
                      struct error *error) {
  entry->type = header->type == '\0' || header->type == '7' ? '0' : header->type == 'D' ? '5' : header->type;
  entry->target = NULL;
  entry->device = 0;
  if (take_numbers(reader, header, entry, error) < 0 || take_names(reader, header, entry, error) < 0) return -1;
  if ((entry->type == '3' || entry->type == '4') && take_device(header, entry, error) < 0) return -1;
  if (entry->type != '0') {
    /* A folder may carry content (GNU's dumps, old forms); of all other types a size means nothing. */
    reader->content = header->type == 'D' || header->type == '0' || header->type == '\0' ? entry->size : 0;
    entry->size = 0;
  } else {
    reader->content = entry->size;
  }
  reader->padding = padding_of(reader->content);
  memcpy(entry->xattrs, reader->pax.xattrs, reader->pax.xattr_count * sizeof *entry->xattrs);
  entry->xattr_count = reader->pax.xattr_count;
  entry->xattr_skipped = reader->pax.xattr_skipped;
  return 1;
}

static int is_zero(const struct tar_header *header) {
  static const char zeros[TAR_BLOCK];
  return memcmp(header, zeros, TAR_BLOCK) == 0;
}

/* After the first zero block: the second, then whatever a tape's blocking left behind. */
static int read_trailer(struct tar_reader *reader, struct error *error) {
  struct tar_header header;
  int there = next_block(reader, &header, error);
  if (there < 0) return -1;
  if (there && !is_zero(&header)) return error_set(error, "corrupt", "the archive goes on after a zero block");
  int more;
  do {
    reader->start = reader->end;
    more = fill(reader, error);
  } while (more > 0);
  return more;
}

static int check_header(struct tar_reader *reader, const struct tar_header *header, struct error *error) {
  int64_t checksum;
  if (tar_number_parse(header->checksum, sizeof header->checksum, &checksum) < 0 ||
      ((unsigned)checksum != tar_checksum(header, 0) && (unsigned)checksum != tar_checksum(header, 1)))
    return error_set(error, "corrupt", "this is no tar archive, or it is damaged: a header's checksum is wrong");
  if (++reader->entries > reader->limits.entries)
    return error_set(error, "exhausted", "the archive has more than %llu entries",
                     (unsigned long long)reader->limits.entries);
  return 0;
}

/* Takes an extension header into the reader; its size is never what another extension says. */
static int take_extension(struct tar_reader *reader, const struct tar_header *header, struct error *error) {
  int64_t size;
  if (tar_number_parse(header->size, sizeof header->size, &size) < 0 || size < 0)
    return error_set(error, "corrupt", "a header extension has a malformed size");
  switch (header->type) {
    case 'x':
    case 'g': return read_pax(reader, (uint64_t)size, header->type == 'g', error);
    case 'L':
      return read_extension(reader, (uint64_t)size, (uint64_t)reader->limits.name + 1, &reader->long_name, error);
    case 'K':
      return read_extension(reader, (uint64_t)size, (uint64_t)reader->limits.name + 1, &reader->long_target, error);
    default: { /* a volume label */
      uint64_t left = (uint64_t)size, padding = padding_of((uint64_t)size);
      return skip(reader, &left, error) < 0 ? -1 : skip(reader, &padding, error);
    }
  }
}

int tar_next(struct tar_reader *reader, struct tar_entry *entry, struct error *error) {
  if (skip(reader, &reader->content, error) < 0 || skip(reader, &reader->padding, error) < 0) return -1;
  forget_extensions(reader);
  for (;;) {
    struct tar_header header;
    int there = next_block(reader, &header, error);
    if (there < 0) return -1;
    if (there == 0)
      return reader->end_optional && reader->entries > 0
                 ? 0
                 : error_set(error, "corrupt", "the archive is cut off: its end mark is missing");
    if (is_zero(&header)) return read_trailer(reader, error);
    if (check_header(reader, &header, error) < 0) return -1;
    if (header.type == '\0' || strchr("01234567D", header.type) != NULL)
      return take_entry(reader, &header, entry, error);
    if (strchr("xgLKV", header.type) == NULL)
      return error_set(error, "unsupported", "the archive has an entry of type %s: %.100s",
                       header.type == 'S' ? "\"sparse file\"; make it without them (tar: no --sparse)" : "unknown",
                       header.name);
    if (take_extension(reader, &header, error) < 0) return -1;
  }
}
