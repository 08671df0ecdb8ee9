/* Pax extended headers: records of "LENGTH KEY=VALUE\n" (POSIX.1-2001). */
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "tar.h"

/* A decimal number of `text` that ends at `stop`; -1 if it is none or too large. */
static int parse_decimal(const char *text, const char *stop, uint64_t *value) {
  if (text == stop || stop - text > 19) return -1;
  uint64_t result = 0;
  for (; text < stop; text++) {
    if (*text < '0' || *text > '9') return -1;
    result = result * 10 + (uint64_t)(*text - '0');
  }
  *value = result;
  return result > INT64_MAX ? -1 : 0;
}

/* Seconds with an optional fraction and sign; digits beyond nanoseconds are dropped. */
static int parse_time(const char *text, struct timespec *time) {
  int negative = *text == '-';
  text += negative;
  const char *stop = text + strlen(text), *dot = strchr(text, '.');
  uint64_t seconds = 0;
  if (parse_decimal(text, dot == NULL ? stop : dot, &seconds) < 0) return -1;
  long nanoseconds = 0, unit = 100000000;
  for (const char *at = dot == NULL ? stop : dot + 1; at < stop; at++, unit /= 10) {
    if (*at < '0' || *at > '9') return -1;
    nanoseconds += (*at - '0') * unit;
  }
  time->tv_sec = negative ? -(time_t)seconds : (time_t)seconds;
  time->tv_nsec = nanoseconds;
  if (negative && nanoseconds > 0) {
    time->tv_sec--;
    time->tv_nsec = 1000000000 - nanoseconds;
  }
  return 0;
}

int tar_xattr_allowed(const char *name) {
  if (strncmp(name, "user.", 5) == 0) return name[5] != '\0' && strncmp(name, "user.overlay.", 13) != 0;
  return strcmp(name, "security.capability") == 0 || strcmp(name, "system.posix_acl_access") == 0 ||
         strcmp(name, "system.posix_acl_default") == 0;
}

static int take_xattr(struct tar_pax *pax, const char *name, const char *value, size_t size, struct error *error) {
  if (strlen(name) > 255 || !tar_xattr_allowed(name)) {
    pax->xattr_skipped++;
    return 0;
  }
  if (size > 65536)
    return error_set(error, "exhausted", "extended attribute %s of %zu bytes is over the limit of 65536", name, size);
  for (size_t i = 0; i < pax->xattr_count; i++)
    if (strcmp(pax->xattrs[i].name, name) == 0) {
      pax->xattrs[i] = (struct tar_xattr){name, value, size};
      return 0;
    }
  if (pax->xattr_count == TAR_XATTRS)
    return error_set(error, "exhausted", "an entry has more than %d extended attributes", TAR_XATTRS);
  pax->xattrs[pax->xattr_count++] = (struct tar_xattr){name, value, size};
  return 0;
}

/* A record that names one of the fields; an empty value takes the field back. */
static int take_field(struct tar_pax *pax, int field, const char *key, const char *value, size_t size,
                      struct error *error) {
  pax->set = size == 0 ? pax->set & ~(unsigned)field : pax->set | (unsigned)field;
  if (size == 0) return 0;
  if (strlen(value) != size) return error_set(error, "corrupt", "pax header %s holds a NUL", key);
  int bad = 0;
  if (field == PAX_PATH)
    pax->path = value;
  else if (field == PAX_LINKPATH)
    pax->linkpath = value;
  else if (field == PAX_MTIME)
    bad = parse_time(value, &pax->mtime);
  else
    bad = parse_decimal(value, value + size,
                        field == PAX_SIZE  ? &pax->size
                        : field == PAX_UID ? &pax->uid
                                           : &pax->gid);
  return bad ? error_set(error, "corrupt", "pax header %s has the malformed value %.40s", key, value) : 0;
}

static int take_record(struct tar_pax *pax, const char *key, const char *value, size_t size, int global,
                       struct error *error) {
  static const struct {
    const char *key;
    int field, in_global;
  } fields[] = {
      {"path", PAX_PATH, 0}, {"linkpath", PAX_LINKPATH, 0}, {"size", PAX_SIZE, 0},
      {"uid", PAX_UID, 1},   {"gid", PAX_GID, 1},           {"mtime", PAX_MTIME, 1},
  };
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
    if (strcmp(key, fields[i].key) == 0)
      return global && !fields[i].in_global ? 0 : take_field(pax, fields[i].field, key, value, size, error);
  if (strncmp(key, "GNU.sparse.", 11) == 0)
    return error_set(error, "unsupported", "the archive has sparse files; make it without them (tar: no --sparse)");
  if (strncmp(key, "SCHILY.xattr.", 13) == 0 && !global) return take_xattr(pax, key + 13, value, size, error);
  return 0;
}

int tar_pax_parse(struct tar_pax *pax, char *data, size_t size, int global, struct error *error) {
  char *at = data, *end = data + size;
  while (at < end) {
    char *space = memchr(at, ' ', (size_t)(end - at));
    uint64_t length;
    if (space == NULL || parse_decimal(at, space, &length) < 0 || length > (uint64_t)(end - at))
      return error_set(error, "corrupt", "pax header: a record has no proper length");
    char *next = at + length, *key = space + 1;
    char *equals = key < next ? memchr(key, '=', (size_t)(next - key)) : NULL;
    if (equals == NULL || equals == key || next[-1] != '\n')
      return error_set(error, "corrupt", "pax header: a record is not of the form KEY=VALUE");
    if (memchr(key, '\0', (size_t)(equals - key)) != NULL)
      return error_set(error, "corrupt", "pax header: a key holds a NUL");
    *equals = '\0';
    next[-1] = '\0';
    if (take_record(pax, key, equals + 1, (size_t)(next - 1 - (equals + 1)), global, error) < 0) return -1;
    at = next;
  }
  return 0;
}
