#include "host_cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "util.h"

enum { file_limit = 1 << 20 };

/* Whether a comma-separated list holds the word. */
static bool has_word(const char *list, const char *word) {
  size_t length = strlen(word);
  for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
    if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == 0)) return true;
  return false;
}

/* The mount point of a v1 controller, or of the v2 hierarchy when `controller` is NULL; to be freed. */
static char *mount_point(const char *mountinfo, const char *controller) {
  cleanup_free char *copy = xstrdup(mountinfo);
  char *rest = copy;
  for (char *line; (line = strsep(&rest, "\n"));) {
    char *tail = strstr(line, " - ");
    char point[4096], type[64], options[1024];
    if (!tail || sscanf(line, "%*s %*s %*s %*s %4095s", point) != 1) continue;
    if (sscanf(tail + 3, "%63s %*s %1023s", type, options) != 2) continue;
    if (controller ? strcmp(type, "cgroup") == 0 && has_word(options, controller) : strcmp(type, "cgroup2") == 0)
      return xstrdup(point);
  }
  return NULL;
}

/* The process's folder in a hierarchy. */
static char *folder_of(const char *mountinfo, const char *membership, const char *controller) {
  cleanup_free char *copy = xstrdup(membership);
  char *rest = copy;
  for (char *line; (line = strsep(&rest, "\n"));) {
    char *controllers = strchr(line, ':');
    char *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path) continue;
    controllers++;
    *path++ = 0;
    if (controller ? !has_word(controllers, controller) : *controllers != 0) continue;
    cleanup_free char *point = mount_point(mountinfo, controller);
    return point ? xprintf("%s%s", point, path) : NULL;
  }
  return NULL;
}

int host_cgroup_of(pid_t pid, struct cgroup *cgroup, struct error *error) {
  *cgroup = (struct cgroup){0};
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/cgroup", (int)pid);
  cleanup_free char *membership = read_path(path, file_limit, NULL, error);
  cleanup_free char *mounts = membership ? read_path("/proc/self/mountinfo", 16 << 20, NULL, error) : NULL;
  if (!mounts) return -1;
  cgroup->memory = folder_of(mounts, membership, "memory");
  if (cgroup->memory) {
    cgroup->cpu = folder_of(mounts, membership, "cpuacct");
    cgroup->pids = folder_of(mounts, membership, "pids");
    cgroup->freezer = folder_of(mounts, membership, "freezer");
    cgroup->blkio = folder_of(mounts, membership, "blkio");
    return 0;
  }
  cgroup->unified = true;
  cgroup->memory = folder_of(mounts, membership, NULL);
  if (!cgroup->memory) return error_set(error, "unavailable", "no memory cgroup for process %d", (int)pid);
  cgroup->cpu = xstrdup(cgroup->memory);
  cgroup->pids = xstrdup(cgroup->memory);
  cgroup->freezer = xstrdup(cgroup->memory);
  cgroup->blkio = xstrdup(cgroup->memory);
  return 0;
}

void host_cgroup_free(struct cgroup *cgroup) {
  free(cgroup->memory);
  free(cgroup->cpu);
  free(cgroup->pids);
  free(cgroup->freezer);
  free(cgroup->blkio);
  *cgroup = (struct cgroup){0};
}

static char *read_in(const char *folder, const char *name) {
  if (!folder) return NULL;
  cleanup_free char *path = xprintf("%s/%s", folder, name);
  return read_path(path, file_limit, NULL, NULL);
}

/* A file of one number; `max` and what cannot be read are -1. */
static int64_t number_in(const char *folder, const char *name) {
  cleanup_free char *text = read_in(folder, name);
  if (!text || *text < '0' || *text > '9') return -1;
  unsigned long long value = strtoull(text, NULL, 10);
  return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

/* `key value` lines; -1 when the key is missing. */
static int64_t keyed_in(const char *folder, const char *name, const char *key) {
  cleanup_free char *text = read_in(folder, name);
  size_t length = strlen(key);
  char *rest = text;
  for (char *line; (line = strsep(&rest, "\n"));)
    if (strncmp(line, key, length) == 0 && line[length] == ' ') return strtoll(line + length + 1, NULL, 10);
  return -1;
}

int64_t host_cgroup_oom_kills(const struct cgroup *cgroup) {
  int64_t count = keyed_in(cgroup->memory, cgroup->unified ? "memory.events" : "memory.oom_control", "oom_kill");
  return count < 0 ? 0 : count;
}

int host_cgroup_watch_oom(const struct cgroup *cgroup) {
  if (!cgroup->memory) return -1;
  if (cgroup->unified) {
    cleanup_fd int notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    cleanup_free char *path = xprintf("%s/memory.events", cgroup->memory);
    if (notify < 0 || inotify_add_watch(notify, path, IN_MODIFY) < 0) return -1;
    return take_fd(&notify);
  }
  cleanup_fd int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  cleanup_free char *control_path = xprintf("%s/memory.oom_control", cgroup->memory);
  cleanup_free char *register_path = xprintf("%s/cgroup.event_control", cgroup->memory);
  cleanup_fd int control = open(control_path, O_RDONLY | O_CLOEXEC);
  char line[64];
  snprintf(line, sizeof line, "%d %d", event, control);
  if (event < 0 || control < 0 || write_path(register_path, line, NULL) < 0) return -1;
  return take_fd(&event);
}

static bool is_frozen(const struct cgroup *cgroup) {
  if (cgroup->unified) return keyed_in(cgroup->freezer, "cgroup.events", "frozen") == 1;
  cleanup_free char *state = read_in(cgroup->freezer, "freezer.state");
  return state && strncmp(state, "FROZEN", 6) == 0;
}

int host_cgroup_freeze(const struct cgroup *cgroup, bool frozen, struct error *error) {
  if (!cgroup->freezer) return error_set(error, "unsupported", "this host has no cgroup freezer");
  cleanup_free char *path = xprintf("%s/%s", cgroup->freezer, cgroup->unified ? "cgroup.freeze" : "freezer.state");
  const char *want = cgroup->unified ? (frozen ? "1" : "0") : (frozen ? "FROZEN" : "THAWED");
  for (int attempt = 0; attempt < 200; attempt++) {
    if ((attempt == 0 || !cgroup->unified) && write_path(path, want, error) < 0) return -1;
    if (is_frozen(cgroup) == frozen) return 0;
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
  }
  return error_set(error, "deadline", "the workload's processes did not %s within a second", frozen ? "freeze" : "thaw");
}

/* Sums `... Read N` and `... Write N` (v1), or rbytes= and wbytes= (v2). */
static void block_stats(const struct cgroup *cgroup, int64_t *read, int64_t *written) {
  cleanup_free char *text = read_in(cgroup->blkio, cgroup->unified ? "io.stat" : "blkio.throttle.io_service_bytes");
  char *rest = text;
  *read = *written = 0;
  for (char *line; (line = strsep(&rest, "\n"));) {
    int64_t value;
    if (cgroup->unified) {
      for (char *word; (word = strsep(&line, " "));) {
        if (sscanf(word, "rbytes=%" SCNd64, &value) == 1) *read += value;
        if (sscanf(word, "wbytes=%" SCNd64, &value) == 1) *written += value;
      }
    } else {
      if (sscanf(line, "%*s Read %" SCNd64, &value) == 1) *read += value;
      if (sscanf(line, "%*s Write %" SCNd64, &value) == 1) *written += value;
    }
  }
}

json_t *host_cgroup_usage(const struct cgroup *cgroup) {
  bool v2 = cgroup->unified;
  int64_t cpu = v2 ? keyed_in(cgroup->cpu, "cpu.stat", "usage_usec") * 1000 : number_in(cgroup->cpu, "cpuacct.usage");
  int64_t memory = number_in(cgroup->memory, v2 ? "memory.current" : "memory.usage_in_bytes");
  /* Page cache that can go at any time is not counted, as in `docker stats`. */
  int64_t inactive = keyed_in(cgroup->memory, "memory.stat", v2 ? "inactive_file" : "total_inactive_file");
  if (inactive > 0 && inactive < memory) memory -= inactive;
  int64_t memory_limit = number_in(cgroup->memory, v2 ? "memory.max" : "memory.limit_in_bytes");
  int64_t pids = number_in(cgroup->pids, "pids.current"), pids_limit = number_in(cgroup->pids, "pids.max");
  int64_t read, written;
  block_stats(cgroup, &read, &written);
  json_t *stats = json_pack("{s:I s:I s:I s:I s:I}", "cpuNs", (json_int_t)(cpu < 0 ? 0 : cpu), "memory",
                            (json_int_t)(memory < 0 ? 0 : memory), "pids", (json_int_t)(pids < 0 ? 0 : pids),
                            "blockRead", (json_int_t)read, "blockWrite", (json_int_t)written);
  /* v1 shows "no limit" as a number near 2^63. */
  if (memory_limit >= 0 && memory_limit < INT64_C(1) << 62)
    json_object_set_new(stats, "memoryLimit", json_integer(memory_limit));
  if (pids_limit >= 0) json_object_set_new(stats, "pidsLimit", json_integer(pids_limit));
  return stats;
}
