#include "vm_cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "util.h"

static const char *const v1_controllers[] = {"memory", "pids", "cpu", "cpuacct"};

/* Is `word` one of the comma-separated `list`? */
static bool has_word(const char *list, const char *word) {
  size_t length = strlen(word);
  for (const char *at = list; at; at = strchr(at, ',')) {
    if (*at == ',') at++;
    if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == 0)) return true;
  }
  return false;
}

/* Where the v1 controllers and v2 are mounted. */
struct mounts {
  char *v1[countof(v1_controllers)];
  char *v2;
};

static void free_mounts(struct mounts *mounts) {
  for (size_t i = 0; i < countof(v1_controllers); i++) free(mounts->v1[i]);
  free(mounts->v2);
}

static int find_mounts(struct mounts *mounts, struct error *error) {
  cleanup_free char *text = read_path("/proc/self/mountinfo", 16 << 20, NULL, error);
  if (!text) return -1;
  char *rest = NULL;
  for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
    char target[1024], type[64], options[512];
    char *dash = strstr(line, " - ");
    if (!dash || sscanf(line, "%*s %*s %*s %*s %1023s", target) != 1) continue;
    if (sscanf(dash, " - %63s %*s %511s", type, options) != 2) continue;
    if (strcmp(type, "cgroup2") == 0 && !mounts->v2) mounts->v2 = xstrdup(target);
    if (strcmp(type, "cgroup") != 0) continue;
    for (size_t i = 0; i < countof(v1_controllers); i++)
      if (!mounts->v1[i] && has_word(options, v1_controllers[i])) mounts->v1[i] = xstrdup(target);
  }
  return 0;
}

static int write_limit(const char *folder, const char *file, int64_t value) {
  cleanup_free char *path = xprintf("%s/%s", folder, file);
  cleanup_free char *text = xprintf("%lld", (long long)value);
  struct error error;
  if (write_path(path, text, &error) == 0) return 0;
  complain("no limit: %s", error.message);
  return -1;
}

/* mkdir -p of `path` below `root`. With v2 each parent hands the controllers down. */
static int make_folder(const char *root, const char *path, bool v2, char **folder, struct error *error) {
  cleanup_free char *whole = xprintf("%s%s", root, path);
  size_t length = strlen(root);
  /* Another shim may remove a parent that it found empty between two of our steps. */
  for (int attempt = 0; attempt < 10; attempt++) {
    size_t at = length;
    for (;;) {
      if (v2) {
        cleanup_free char *control = xprintf("%.*s/cgroup.subtree_control", (int)at, whole);
        write_path(control, "+memory", NULL);
        write_path(control, "+pids", NULL);
        write_path(control, "+cpu", NULL);
      }
      at += strcspn(whole + at + 1, "/") + 1;
      char end = whole[at];
      whole[at] = 0;
      int result = mkdir(whole, 0755);
      whole[at] = end;
      if (result < 0 && errno != EEXIST) break;
      if (end) continue;
      *folder = xstrdup(whole);
      return 0;
    }
    if (errno != ENOENT && errno != ENODEV) break;
  }
  return error_errno(error, "make cgroup %s", whole);
}

static bool already(const struct vm_cgroup *cgroup, const char *folder) {
  for (int i = 0; i < cgroup->count; i++)
    if (strcmp(cgroup->folders[i], folder) == 0) return true;
  return false;
}

static int add_v1(struct vm_cgroup *cgroup, const struct mounts *mounts, const char *path, struct error *error) {
  for (size_t i = 0; i < countof(v1_controllers); i++) {
    char *folder;
    if (!mounts->v1[i]) continue;
    if (make_folder(mounts->v1[i], path, false, &folder, error) < 0) return -1;
    if (already(cgroup, folder))
      free(folder);
    else
      cgroup->folders[cgroup->count++] = folder;
  }
  return 0;
}

static int fill(struct vm_cgroup *cgroup, const struct mounts *mounts, const char *path, int64_t memory, int64_t pids,
                struct error *error) {
  if (mounts->v1[0]) {
    if (add_v1(cgroup, mounts, path, error) < 0) return -1;
    write_limit(cgroup->folders[0], "memory.limit_in_bytes", memory);
    if (!mounts->v1[1]) return 0;
    cleanup_free char *folder = xprintf("%s%s", mounts->v1[1], path);
    write_limit(folder, "pids.max", pids);
    return 0;
  }
  if (!mounts->v2) return error_set(error, "unsupported", "no cgroup file system is mounted on this host");
  if (make_folder(mounts->v2, path, true, &cgroup->folders[0], error) < 0) return -1;
  cgroup->count = 1;
  write_limit(cgroup->folders[0], "memory.max", memory);
  write_limit(cgroup->folders[0], "pids.max", pids);
  return 0;
}

int vm_cgroup_make(struct vm_cgroup *cgroup, const char *path, int64_t memory, int64_t pids, struct error *error) {
  struct mounts mounts = {0};
  *cgroup = (struct vm_cgroup){0};
  int result = find_mounts(&mounts, error);
  if (result == 0) result = fill(cgroup, &mounts, path, memory, pids, error);
  free_mounts(&mounts);
  if (result < 0) vm_cgroup_remove(cgroup);
  return result;
}

int vm_cgroup_enter(const struct vm_cgroup *cgroup, pid_t pid) {
  for (int i = 0; i < cgroup->count; i++) {
    char path[4096], text[32];
    int length = snprintf(text, sizeof text, "%d", (int)pid);
    snprintf(path, sizeof path, "%s/cgroup.procs", cgroup->folders[i]);
    cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, (size_t)length) != length) return -1;
  }
  return 0;
}

static void remove_folder(char *folder) {
  const struct timespec pause = {.tv_nsec = 2000000};
  for (int attempt = 0; attempt < 250 && rmdir(folder) < 0 && errno == EBUSY; attempt++) nanosleep(&pause, NULL);
  /* gantry/<tag> and gantry, when nobody else is left. */
  for (int level = 0; level < 2; level++) {
    char *slash = strrchr(folder, '/');
    *slash = 0;
    if (rmdir(folder) < 0) return;
  }
}

void vm_cgroup_remove(struct vm_cgroup *cgroup) {
  for (int i = 0; i < cgroup->count; i++) remove_folder(cgroup->folders[i]);
  vm_cgroup_free(cgroup);
}

void vm_cgroup_free(struct vm_cgroup *cgroup) {
  for (int i = 0; i < cgroup->count; i++) free(cgroup->folders[i]);
  *cgroup = (struct vm_cgroup){0};
}
