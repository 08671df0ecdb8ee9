/* Writes a tree as a pax archive. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "archive_path.h"
#include "tar_writer.h"
#include "util.h"

#define DEPTH_LIMIT 1000
#define NAMES_LIMIT (256u << 20) /* bytes of one folder's names */

struct walk {
  struct tar_writer out;
  struct link_table links;
  struct buffer name; /* of the entry at hand, with a NUL */
  int depth;
};

static char *name_of(struct walk *walk) { return buffer_data(&walk->name); }

/* Puts `text` behind the first `length` bytes of the name. */
static void set_name(struct walk *walk, size_t length, const char *text) {
  walk->name.end = walk->name.start + length;
  buffer_append(&walk->name, text, strlen(text) + 1);
}

static int write_any(struct walk *walk, int parent, const char *leaf, struct error *error);

/* Writes a hard link when the file was written before: 1; 0 when it was not. */
static int write_again(struct walk *walk, const struct stat *facts, struct error *error) {
  const char *before = facts->st_nlink > 1 ? link_table_find(&walk->links, facts, name_of(walk)) : NULL;
  if (!before) return 0;
  return tar_write_entry(&walk->out, '1', name_of(walk), before, facts, -1, error) < 0 ? -1 : 1;
}

static int write_file(struct walk *walk, int fd, const struct stat *facts, struct error *error) {
  int done = write_again(walk, facts, error);
  if (done != 0) return done < 0 ? -1 : 0;
  if (tar_write_entry(&walk->out, '0', name_of(walk), NULL, facts, fd, error) < 0) return -1;
  return tar_write_content(&walk->out, fd, (uint64_t)facts->st_size, error);
}

struct names {
  char **list;
  size_t count, capacity, bytes;
};

static void cleanup_names_(struct names *names) {
  for (size_t i = 0; i < names->count; i++)
    free(names->list[i]);
  free(names->list);
}

static int compare_names(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int read_names(int fd, struct names *names, struct error *error) {
  int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = copy < 0 ? NULL : fdopendir(copy);
  if (!dir) {
    if (copy >= 0) close(copy);
    return error_errno(error, "a folder cannot be read");
  }
  int failed = 0;
  for (struct dirent *entry; !failed && (errno = 0, entry = readdir(dir));) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    names->bytes += strlen(entry->d_name) + 1 + sizeof(char *);
    if (names->bytes > NAMES_LIMIT) failed = error_set(error, "exhausted", "a folder has too many entries");
    if (names->count == names->capacity) {
      names->capacity = names->capacity ? names->capacity * 2 : 64;
      names->list = xrealloc(names->list, names->capacity * sizeof *names->list);
    }
    names->list[names->count++] = xstrdup(entry->d_name);
  }
  if (!failed && errno) failed = error_errno(error, "a folder cannot be read");
  closedir(dir);
  if (names->count) qsort(names->list, names->count, sizeof *names->list, compare_names);
  return failed;
}

static int write_folder(struct walk *walk, int fd, const struct stat *facts, struct error *error) {
  if (walk->depth == DEPTH_LIMIT)
    return error_set(error, "exhausted", "folders are nested more than %d deep", DEPTH_LIMIT);
  struct names names __attribute__((cleanup(cleanup_names_))) = {0};
  size_t length = strlen(name_of(walk));
  set_name(walk, length, "/");
  if (tar_write_entry(&walk->out, '5', name_of(walk), NULL, facts, fd, error) < 0) return -1;
  if (read_names(fd, &names, error) < 0) return -1;
  walk->depth++;
  for (size_t i = 0; i < names.count; i++) {
    set_name(walk, length + 1, names.list[i]);
    if (write_any(walk, fd, names.list[i], error) < 0) return -1;
  }
  walk->depth--;
  return 0;
}

static int write_link(struct walk *walk, int parent, const char *leaf, const struct stat *facts,
                      struct error *error) {
  char target[PATH_MAX];
  ssize_t length = readlinkat(parent, leaf, target, sizeof target - 1);
  if (length < 0) return errno == ENOENT || errno == EINVAL ? 0 : error_errno(error, "link %s cannot be read", leaf);
  target[length] = '\0';
  return tar_write_entry(&walk->out, '2', name_of(walk), target, facts, -1, error);
}

static int write_node(struct walk *walk, int parent, const char *leaf, const struct stat *facts,
                      struct error *error) {
  if (S_ISSOCK(facts->st_mode))
    return walk->depth > 0 ? 0 : error_set(error, "unsupported", "%s is a socket: archives cannot hold it", leaf);
  int done = write_again(walk, facts, error);
  if (done != 0) return done < 0 ? -1 : 0;
  if (S_ISLNK(facts->st_mode)) return write_link(walk, parent, leaf, facts, error);
  char type = S_ISCHR(facts->st_mode) ? '3' : S_ISBLK(facts->st_mode) ? '4' : '6';
  return tar_write_entry(&walk->out, type, name_of(walk), NULL, facts, -1, error);
}

/* Writes what `leaf` of `parent` is. It may change at any moment: what counts is what was opened. */
static int write_any(struct walk *walk, int parent, const char *leaf, struct error *error) {
  struct stat facts;
  if (fstatat(parent, leaf, &facts, AT_SYMLINK_NOFOLLOW) < 0)
    return errno == ENOENT && walk->depth > 0 ? 0 : error_errno(error, "%s cannot be read", leaf);
  if (!S_ISREG(facts.st_mode) && !S_ISDIR(facts.st_mode)) return write_node(walk, parent, leaf, &facts, error);
  int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  cleanup_fd int fd = openat(parent, leaf, flags | (S_ISDIR(facts.st_mode) ? O_DIRECTORY : 0));
  if (fd < 0) {
    int changed = errno == ENOENT || errno == ELOOP || errno == ENOTDIR;
    return changed && walk->depth > 0 ? 0 : error_errno(error, "%s cannot be opened", leaf);
  }
  mode_t expected = facts.st_mode & S_IFMT;
  if (fstat(fd, &facts) < 0) return error_errno(error, "%s cannot be read", leaf);
  if ((facts.st_mode & S_IFMT) != expected) return 0;
  return S_ISDIR(facts.st_mode) ? write_folder(walk, fd, &facts, error) : write_file(walk, fd, &facts, error);
}

/* "x/.", "x/" and "/": the folder itself, whatever leads to it. */
static int write_whole_folder(struct walk *walk, int root, const char *path, struct error *error) {
  cleanup_fd int fd = path_open(root, path, O_RDONLY | O_DIRECTORY, PATH_IN_ROOT);
  struct stat facts;
  if (fd < 0 || fstat(fd, &facts) < 0) return error_errno(error, "folder %s cannot be opened", path);
  return write_folder(walk, fd, &facts, error);
}

static int write_path_to(struct walk *walk, int root, const char *path, struct error *error) {
  int folder;
  cleanup_free char *name = NULL;
  cleanup_free char *clean = path_clean(path, &folder, &name);
  if (strcmp(name, "/") == 0) strcpy(name, ".");
  set_name(walk, 0, name);
  if (folder) return write_whole_folder(walk, root, clean, error);
  const char *leaf;
  cleanup_fd int parent = path_open_parent(root, clean, &leaf, PATH_IN_ROOT);
  if (parent < 0) return error_errno(error, "%s cannot be opened", path);
  return write_any(walk, parent, leaf, error);
}

int archive_write_tar(int root, const char *path, int out_fd, struct error *error) {
  struct walk walk = {0};
  tar_writer_open(&walk.out, out_fd);
  int done = write_path_to(&walk, root, path, error);
  if (done == 0) done = tar_write_end(&walk.out, error);
  tar_writer_close(&walk.out);
  link_table_free(&walk.links);
  buffer_free(&walk.name);
  return done;
}
