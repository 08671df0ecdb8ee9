#include "user.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util.h"

enum { file_limit = 4 << 20, group_limit = 4096, name_limit = 256 };
static const uint32_t highest_id = 0x7fffffff;

int rootfs_open(int root, const char *path, int flags, mode_t mode) {
  struct open_how how = {
      .flags = (uint64_t)(flags | O_CLOEXEC),
      .mode = mode,
      .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
  };
  /* openat2 takes nothing beside O_PATH that it would ignore. */
  if (!(flags & O_PATH)) how.flags |= O_NONBLOCK | O_NOCTTY;
  for (int attempt = 0;; attempt++) {
    int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
    /* EAGAIN: something was renamed while a ".." was resolved. */
    if (fd >= 0 || errno != EAGAIN || attempt == 32) return fd;
  }
}

int rootfs_make_folder(int root, const char *path, struct error *error) {
  int fd = rootfs_open(root, path, O_PATH | O_DIRECTORY, 0);
  if (fd >= 0) return fd;
  if (errno != ENOENT) return error_errno(error, "folder %s in the image", path);
  /* One component after another: each parent is resolved (through symlinks) before the next is made in it. */
  cleanup_free char *copy = xstrdup(path);
  for (char *end = copy;; end++) {
    while (*end == '/') end++;
    char *name = end;
    while (*end && *end != '/') end++;
    if (end == name) break;
    char was = *end;
    *end = 0;
    fd = rootfs_open(root, copy, O_PATH | O_DIRECTORY, 0);
    if (fd < 0 && errno == ENOENT) {
      char saved = *name;
      *name = 0;
      cleanup_fd int parent = rootfs_open(root, *copy ? copy : "/", O_PATH | O_DIRECTORY, 0);
      *name = saved;
      /* A dangling symlink stays ENOENT after EEXIST: refused below. */
      if (parent < 0 || (mkdirat(parent, name, 0755) < 0 && errno != EEXIST))
        return error_errno(error, "make folder %s in the image", copy);
      fd = rootfs_open(root, copy, O_PATH | O_DIRECTORY, 0);
    }
    if (fd < 0) return error_errno(error, "folder %s in the image", copy);
    *end = was;
    if (!was) return fd;
    close(fd);
  }
  fd = rootfs_open(root, path, O_PATH | O_DIRECTORY, 0);
  if (fd < 0) return error_errno(error, "folder %s in the image", path);
  return fd;
}

/*
 * The whole file, or NULL when it is not there, not a file, or too large. What it is is known before it is opened: to
 * open a device may do things already (a watchdog's starts it), and the opener here is not held by the workload's rules.
 */
static char *read_inside(int root, const char *path) {
  struct stat found, opened;
  cleanup_fd int place = rootfs_open(root, path, O_PATH, 0);
  if (place < 0 || fstat(place, &found) < 0 || !S_ISREG(found.st_mode)) return NULL;
  char name[40];
  snprintf(name, sizeof name, "/proc/self/fd/%d", place);
  cleanup_fd int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  /* Within a workload's own mounts (in a guest) /proc may be missing, or be anything. */
  if (fd < 0 || fstat(fd, &opened) < 0 || opened.st_dev != found.st_dev || opened.st_ino != found.st_ino) return NULL;
  return read_all(fd, file_limit, NULL, NULL);
}

/* A decimal id of at most 2^31-1, nothing else. */
static bool number_of(const char *text, uint32_t *value) {
  if (!*text || strlen(text) > 10) return false;
  uint64_t sum = 0;
  for (; *text; text++) {
    if (*text < '0' || *text > '9') return false;
    sum = sum * 10 + (uint64_t)(*text - '0');
  }
  if (sum > highest_id) return false;
  *value = (uint32_t)sum;
  return true;
}

/* Splits the next line at colons in place; returns the number of fields, or -1 at the end. */
static int next_entry(char **rest, char **fields, int most) {
  char *line = strsep(rest, "\n");
  if (!line) return -1;
  int count = 0;
  while (line && count < most) fields[count++] = strsep(&line, ":");
  for (int i = count; i < most; i++) fields[i] = "";
  return count;
}

static void add_group(struct user *user, uint32_t gid) {
  for (size_t i = 0; i < user->group_count; i++)
    if (user->groups[i] == gid) return;
  if (user->group_count == group_limit) return;
  user->groups = xrealloc(user->groups, (user->group_count + 1) * sizeof *user->groups);
  user->groups[user->group_count++] = gid;
}

static bool lists(char *members, const char *name) {
  for (char *member; (member = strsep(&members, ","));)
    if (strcmp(member, name) == 0) return true;
  return false;
}

int user_lookup(int root, const char *text, struct user *user, struct error *error) {
  char want[2 * name_limit];
  *user = (struct user){0};
  if (strlen(text) >= sizeof want) return error_set(error, "invalid", "user is longer than %zu bytes", sizeof want - 1);
  strcpy(want, text);
  char *group = strchr(want, ':');
  if (group) *group++ = 0;
  if (group && !*group) group = NULL;

  uint32_t number = 0;
  bool numeric = *want ? number_of(want, &number) : true, found = false;
  char *fields[7], name[name_limit] = "";
  cleanup_free char *passwd = read_inside(root, "/etc/passwd");
  for (char *rest = passwd; rest && !found;) {
    uint32_t uid, gid;
    if (next_entry(&rest, fields, 7) < 4 || !number_of(fields[2], &uid) || !number_of(fields[3], &gid)) continue;
    if (!(*want && strcmp(fields[0], want) == 0) && !(numeric && uid == number)) continue;
    found = true;
    user->uid = uid;
    user->gid = gid;
    snprintf(name, sizeof name, "%s", fields[0]);
    if (fields[5][0] == '/') user->home = xstrdup(fields[5]);
  }
  if (!found && !numeric)
    return error_set(error, "invalid", "unable to find user %s: no matching entries in the image's passwd file", want);
  if (!found) user->uid = number;
  if (!user->home) user->home = xstrdup("/");

  uint32_t group_number = 0;
  bool group_numeric = group && number_of(group, &group_number), group_found = false;
  cleanup_free char *groups = group || *name ? read_inside(root, "/etc/group") : NULL;
  if (!group) add_group(user, user->gid);
  for (char *rest = groups; rest && !group_found;) {
    uint32_t gid;
    if (next_entry(&rest, fields, 4) < 3 || !number_of(fields[2], &gid)) continue;
    if (!group) {
      if (lists(fields[3], name)) add_group(user, gid);
    } else if (strcmp(fields[0], group) == 0 || (group_numeric && gid == group_number)) {
      group_found = true;
      user->gid = gid;
    }
  }
  if (group && !group_found) {
    if (!group_numeric) {
      error_set(error, "invalid", "unable to find group %s: no matching entries in the image's group file", group);
      user_free(user);
      return -1;
    }
    user->gid = group_number;
  }
  if (group) add_group(user, user->gid);
  return 0;
}

void user_free(struct user *user) {
  free(user->groups);
  free(user->home);
  *user = (struct user){0};
}
