/* A workload's cgroup on v1, hybrid and v2 hosts: found from its first process, read and frozen here. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "json.h"

struct cgroup {
  bool unified;
  /* Absolute folders; NULL where the controller is missing. On v2 all are the same. */
  char *memory, *cpu, *pids, *freezer, *blkio;
};

/* From /proc/PID/cgroup and the mounts that this process sees. */
int host_cgroup_of(pid_t pid, struct cgroup *cgroup, struct error *error);
void host_cgroup_free(struct cgroup *cgroup);

/* Processes killed there for lack of memory so far. */
int64_t host_cgroup_oom_kills(const struct cgroup *cgroup);
/*
 * A descriptor that becomes readable (eventfd on v1) or exceptional (EPOLLPRI of the events file's inotify: also
 * EPOLLIN) when memory runs out; -1 when it cannot be had. Its content is to be read away.
 */
int host_cgroup_watch_oom(const struct cgroup *cgroup);
/* Freezes or thaws and waits until it is so, at most a second. */
int host_cgroup_freeze(const struct cgroup *cgroup, bool frozen, struct error *error);
/* Stats of src/ports/supervisor.ts but for the network; new reference. */
json_t *host_cgroup_usage(const struct cgroup *cgroup);
