/* The cgroup of a VM's processes (QEMU, virtiofsd) on v1, hybrid and v2 hosts. */
#pragma once
#include <stdint.h>
#include <sys/types.h>

#include "error.h"

enum { CGROUP_FOLDERS = 4 };

struct vm_cgroup {
  /* One folder a hierarchy that is used; v2: one. */
  char *folders[CGROUP_FOLDERS];
  int count;
};

/*
 * Makes `path` (absolute, below each hierarchy's root) with the limits; idempotent. A host that does not let us limit
 * is no error: what could not be limited is complained of.
 */
int vm_cgroup_make(struct vm_cgroup *cgroup, const char *path, int64_t memory, int64_t pids, struct error *error);
/* Moves a process there. Async-signal-safe enough for a forked child; -1 with errno. */
int vm_cgroup_enter(const struct vm_cgroup *cgroup, pid_t pid);
/* Removes it and its parents when they are empty; waits shortly for processes that are still dying. */
void vm_cgroup_remove(struct vm_cgroup *cgroup);
void vm_cgroup_free(struct vm_cgroup *cgroup);
