#include "guest_cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util.h"

#define ROOT "/sys/fs/cgroup"
#define CONTROLLERS "+cpu +io +memory +pids"

int guest_cgroup_mount(struct error *error) {
  if (mount("cgroup2", ROOT, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
    return error_errno(error, "mount cgroup2 on %s", ROOT);
  return write_path(ROOT "/cgroup.subtree_control", CONTROLLERS, error);
}

static char *path_of(const char *id) { return xprintf("%s/workload-%.64s", ROOT, id); }

static int set(int cgroup, const char *file, const char *value, struct error *error) {
  cleanup_fd int fd = openat(cgroup, file, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return error_errno(error, "cgroup file %s", file);
  if (write(fd, value, strlen(value)) < 0) return error_errno(error, "write %s to cgroup file %s", value, file);
  return 0;
}

static int set_number(int cgroup, const char *file, int64_t value, struct error *error) {
  char text[24];
  if (value < 0) return set(cgroup, file, "max", error);
  snprintf(text, sizeof text, "%lld", (long long)value);
  return set(cgroup, file, text, error);
}

/* cgroup v1 shares (2–262144) as a v2 weight (1–10000), by the formula all runtimes use. */
static int64_t weight_of(int64_t shares) {
  if (shares < 2) shares = 2;
  if (shares > 262144) shares = 262144;
  return 1 + (shares - 2) * 9999 / 262142;
}

static int limit(int cgroup, const json_t *resources, struct error *error) {
  const json_t *memory = json_object_get(resources, "memory"), *cpu = json_object_get(resources, "cpu"),
               *pids = json_object_get(resources, "pids");
  int64_t bytes = want_int(memory, "limit", 0), quota = want_int(cpu, "quota", 0), shares = want_int(cpu, "shares", 0),
          processes = want_int(pids, "limit", 0);
  if (bytes != 0 && set_number(cgroup, "memory.max", bytes, error) < 0) return -1;
  /* The guest has no swap; an old kernel without the file has none to limit. */
  if (bytes > 0) set(cgroup, "memory.swap.max", "0", NULL);
  if (processes != 0 && set_number(cgroup, "pids.max", processes, error) < 0) return -1;
  if (shares > 0 && set_number(cgroup, "cpu.weight", weight_of(shares), error) < 0) return -1;
  if (quota > 0) {
    char text[48];
    snprintf(text, sizeof text, "%lld %lld", (long long)quota, (long long)want_int(cpu, "period", 100000));
    if (set(cgroup, "cpu.max", text, error) < 0) return -1;
  }
  return 0;
}

int guest_cgroup_make(const char *id, const json_t *resources, struct error *error) {
  cleanup_free char *path = path_of(id);
  rmdir(path); /* of an earlier start */
  if (mkdir(path, 0755) < 0) return error_errno(error, "make cgroup %s", path);
  cleanup_fd int cgroup = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (cgroup < 0) return error_errno(error, "open cgroup %s", path);
  if (limit(cgroup, resources, error) < 0 ||
      guest_cgroup_allow_devices(cgroup, json_object_get(resources, "devices"), error) < 0) {
    rmdir(path);
    return -1;
  }
  return take_fd(&cgroup);
}

void guest_cgroup_remove(const char *id) {
  cleanup_free char *path = path_of(id);
  rmdir(path);
}

void guest_cgroup_kill(int cgroup) {
  if (cgroup >= 0) set(cgroup, "cgroup.kill", "1", NULL);
}

/* The number behind `key` in a flat keyed file ("key value" lines); all lines' values behind "key=" added up for io. */
static uint64_t keyed(int cgroup, const char *file, const char *key) {
  cleanup_fd int fd = openat(cgroup, file, O_RDONLY | O_CLOEXEC);
  char text[8192];
  ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (length <= 0) return 0;
  text[length] = 0;
  size_t key_length = strlen(key);
  uint64_t sum = 0;
  for (char *rest = text, *word; (word = strsep(&rest, " \n"));) {
    if (strncmp(word, key, key_length) != 0) continue;
    if (word[key_length] == '=')
      sum += strtoull(word + key_length + 1, NULL, 10);
    else if (word[key_length] == 0 && rest)
      return strtoull(rest, NULL, 10);
  }
  return sum;
}

/* The number in a file that holds one; -1 for "max" or no file. */
static int64_t number(int cgroup, const char *file) {
  cleanup_fd int fd = openat(cgroup, file, O_RDONLY | O_CLOEXEC);
  char text[32];
  ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (length <= 0 || text[0] < '0' || text[0] > '9') return -1;
  text[length] = 0;
  return strtoll(text, NULL, 10);
}

int guest_cgroup_freeze(int cgroup, bool frozen, struct error *error) {
  if (set(cgroup, "cgroup.freeze", frozen ? "1" : "0", error) < 0) return -1;
  for (int i = 0; i < 400; i++, usleep(500))
    if (keyed(cgroup, "cgroup.events", "frozen") == (frozen ? 1 : 0)) break;
  return 0;
}

uint64_t guest_cgroup_oom_kills(int cgroup) { return cgroup < 0 ? 0 : keyed(cgroup, "memory.events", "oom_kill"); }

int guest_cgroup_open_events(int cgroup) { return openat(cgroup, "memory.events", O_RDONLY | O_CLOEXEC | O_NONBLOCK); }

bool guest_cgroup_is_empty(int cgroup) { return cgroup < 0 || keyed(cgroup, "cgroup.events", "populated") == 0; }

static int64_t card_bytes(const char *direction) {
  char path[80];
  snprintf(path, sizeof path, "/sys/class/net/eth0/statistics/%s_bytes", direction);
  int64_t bytes = number(AT_FDCWD, path);
  return bytes < 0 ? 0 : bytes;
}

json_t *guest_cgroup_stats(int cgroup) {
  /* As Docker counts: the page cache that can go at once is no use of memory. */
  int64_t memory = number(cgroup, "memory.current"), idle = (int64_t)keyed(cgroup, "memory.stat", "inactive_file");
  int64_t memory_limit = number(cgroup, "memory.max"), pids_limit = number(cgroup, "pids.max"),
          pids = number(cgroup, "pids.current");
  json_t *stats = json_pack(
      "{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "cpuNs",
      (json_int_t)(keyed(cgroup, "cpu.stat", "usage_usec") * 1000), "memory", (json_int_t)(memory > idle ? memory - idle : 0),
      "pids", (json_int_t)(pids < 0 ? 0 : pids), "blockRead", (json_int_t)keyed(cgroup, "io.stat", "rbytes"),
      "blockWrite", (json_int_t)keyed(cgroup, "io.stat", "wbytes"), "netRx", (json_int_t)card_bytes("rx"), "netTx",
      (json_int_t)card_bytes("tx"));
  if (memory_limit >= 0) json_object_set_new(stats, "memoryLimit", json_integer(memory_limit));
  if (pids_limit >= 0) json_object_set_new(stats, "pidsLimit", json_integer(pids_limit));
  return stats;
}
