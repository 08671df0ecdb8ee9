/* Unpacks an archive into a folder. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "archive_place.h"
#include "tar.h"
#include "util.h"

static ssize_t read_source(void *arg, void *buffer, size_t size) {
  ssize_t got;
  do
    got = read(*(int *)arg, buffer, size);
  while (got < 0 && errno == EINTR);
  return got;
}

/* Attributes that the file system does not know are left out, unless they give rights that would be missed. */
static int set_xattrs(int fd, const struct tar_entry *entry, struct archive_result *result, struct error *error) {
  for (size_t i = 0; i < entry->xattr_count; i++) {
    const struct tar_xattr *xattr = &entry->xattrs[i];
    if (fsetxattr(fd, xattr->name, xattr->value, xattr->size, 0) == 0) continue;
    if (errno != EOPNOTSUPP || strcmp(xattr->name, "security.capability") == 0)
      return error_errno(error, "attribute %s of %s cannot be set", xattr->name, entry->name);
    result->dropped++;
  }
  return 0;
}

/* Owner, mode and attributes of a file or folder that is open; in this order, since chown takes rights away. */
static int set_facts(int fd, const struct tar_entry *entry, struct archive_result *result, struct error *error) {
  if (fchown(fd, entry->uid, entry->gid) < 0)
    return error_errno(error, "%s cannot be given to %u:%u", entry->name, entry->uid, entry->gid);
  if (fchmod(fd, entry->mode) < 0) return error_errno(error, "mode %o of %s cannot be set", entry->mode, entry->name);
  return set_xattrs(fd, entry, result, error);
}

static int make_file(struct place *place, struct tar_reader *reader, const struct tar_entry *entry, int parent,
                     const char *leaf, struct archive_result *result, struct error *error) {
  int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  cleanup_fd int fd = openat(parent, leaf, flags, 0600);
  if (fd < 0 && errno == EEXIST) {
    if (place_clear(place, parent, leaf, 0, error) < 0) return -1;
    fd = openat(parent, leaf, flags, 0600);
  }
  if (fd < 0) return error_errno(error, "file %s cannot be made", entry->name);
  const char *data;
  size_t size;
  int more;
  while ((more = tar_content(reader, &data, &size, error)) > 0) {
    if (write_all(fd, data, size) < 0) return error_errno(error, "file %s cannot be written", entry->name);
    result->bytes += size;
  }
  if (more < 0 || set_facts(fd, entry, result, error) < 0) return -1;
  struct timespec times[2] = {entry->mtime, entry->mtime};
  if (futimens(fd, times) < 0) return error_errno(error, "time of %s cannot be set", entry->name);
  return 0;
}

static int make_folder(struct place *place, const struct tar_entry *entry, int parent, const char *leaf,
                       struct archive_result *result, struct error *error) {
  cleanup_fd int fd = place_folder(place, parent, leaf, error);
  if (fd < 0 || set_facts(fd, entry, result, error) < 0) return -1;
  if (place_defer_time(place, entry->name, entry->mtime, error) < 0) return -1;
  place_remember(place, entry->name, take_fd(&fd));
  return 0;
}

static int make_hard_link(struct place *place, const struct tar_entry *entry, int parent, const char *leaf,
                          struct error *error) {
  const char *from;
  cleanup_fd int folder = path_open_parent(place->dest, entry->target, &from, PATH_NO_SYMLINKS);
  struct stat source, there;
  if (folder < 0 || fstatat(folder, from, &source, AT_SYMLINK_NOFOLLOW) < 0)
    return error_errno(error, "hard link %s: its target %s cannot be found", entry->name, entry->target);
  if (linkat(folder, from, parent, leaf, 0) == 0) return 0;
  if (errno == EEXIST && fstatat(parent, leaf, &there, AT_SYMLINK_NOFOLLOW) == 0) {
    if (there.st_dev == source.st_dev && there.st_ino == source.st_ino) return 0;
    if (place_clear(place, parent, leaf, 0, error) < 0) return -1;
    if (linkat(folder, from, parent, leaf, 0) == 0) return 0;
  }
  return error_errno(error, "hard link %s to %s cannot be made", entry->name, entry->target);
}

static int try_node(const struct tar_entry *entry, int parent, const char *leaf) {
  switch (entry->type) {
    case '2': return symlinkat(entry->target, parent, leaf);
    case '3': return mknodat(parent, leaf, S_IFCHR | entry->mode, entry->device);
    case '4': return mknodat(parent, leaf, S_IFBLK | entry->mode, entry->device);
    default: return mknodat(parent, leaf, S_IFIFO | entry->mode, 0);
  }
}

/* Symlinks, devices and fifos: what cannot be opened. */
static int make_node(struct place *place, const struct tar_entry *entry, int parent, const char *leaf,
                     struct error *error) {
  int made = try_node(entry, parent, leaf);
  if (made < 0 && errno == EEXIST) {
    if (place_clear(place, parent, leaf, 0, error) < 0) return -1;
    made = try_node(entry, parent, leaf);
  }
  if (made < 0) return error_errno(error, "%s cannot be made", entry->name);
  /* Whoever else writes here may have put another file under the name: that one is not given away. */
  cleanup_fd int fd = openat(parent, leaf, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  struct stat there;
  if (fd < 0 || fstat(fd, &there) < 0) return error_errno(error, "%s cannot be opened", entry->name);
  if (S_ISREG(there.st_mode) || S_ISDIR(there.st_mode))
    return error_set(error, "conflict", "%s was replaced while it was made", entry->name);
  struct timespec times[2] = {entry->mtime, entry->mtime};
  if (fchownat(fd, "", entry->uid, entry->gid, AT_EMPTY_PATH) < 0)
    return error_errno(error, "%s cannot be given to %u:%u", entry->name, entry->uid, entry->gid);
  if (utimensat(fd, "", times, AT_EMPTY_PATH) < 0) return error_errno(error, "time of %s cannot be set", entry->name);
  return 0;
}

static int make_entry(struct place *place, struct tar_reader *reader, const struct tar_entry *entry,
                      struct archive_result *result, struct error *error) {
  if (*entry->name == '\0') {
    if (entry->type != '5')
      return error_set(error, "invalid", "the archive's entry for the destination itself is no folder");
    if (!(place->flags & ARCHIVE_SET_DEST)) return 0;
    if (set_facts(place->dest, entry, result, error) < 0) return -1;
    return place_defer_time(place, "", entry->mtime, error);
  }
  const char *leaf;
  int parent = place_parent(place, entry->name, &leaf, error);
  if (parent < 0) return -1;
  if (place->flags & ARCHIVE_WHITEOUTS && strncmp(leaf, ".wh.", 4) == 0)
    return place_whiteout(place, parent, leaf, error);
  switch (entry->type) {
    case '0': return make_file(place, reader, entry, parent, leaf, result, error);
    case '1': return make_hard_link(place, entry, parent, leaf, error);
    case '5': return make_folder(place, entry, parent, leaf, result, error);
    default: return make_node(place, entry, parent, leaf, error);
  }
}

static int read_entries(struct place *place, struct tar_reader *reader, struct archive_result *result,
                        struct error *error) {
  struct tar_entry entry;
  int more;
  while ((more = tar_next(reader, &entry, error)) > 0) {
    if (make_entry(place, reader, &entry, result, error) < 0) return -1;
    result->entries++;
    result->dropped += entry.xattr_skipped;
  }
  if (more == 0) place_set_times(place);
  return more;
}

int archive_read_tar(int root, const char *dest, int in_fd, const struct archive_limits *limits, unsigned flags,
                     struct archive_result *result, struct error *error) {
  return archive_read_layer(root, dest, in_fd, limits, flags, NULL, result, error);
}

int archive_read_layer(int root, const char *dest, int in_fd, const struct archive_limits *limits, unsigned flags,
                       const struct archive_below *below, struct archive_result *result, struct error *error) {
  struct archive_result unwanted;
  struct tar_reader reader = {.source = read_source,
                              .arg = &in_fd,
                              .limits = limits ? *limits : ARCHIVE_LIMITS,
                              .end_optional = (flags & ARCHIVE_END_OPTIONAL) != 0};
  struct place place;
  if (!result) result = &unwanted;
  *result = (struct archive_result){0};
  mode_t mask = umask(0);
  int done = place_open(&place, root, dest, flags, error);
  place.below = below;
  if (done == 0 && below) done = place_inherit_dest(&place, error);
  if (done == 0) done = tar_reader_open(&reader, error);
  if (done == 0) done = read_entries(&place, &reader, result, error);
  tar_reader_close(&reader);
  place_close(&place);
  umask(mask);
  return done;
}
