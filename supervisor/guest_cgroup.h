/* The guest's cgroup v2 tree: one folder a workload, right below the root. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "json.h"

/* Mounts the hierarchy and delegates every controller. */
int cgroup_mount(struct error *error);
/* Makes (or empties the settings of) the workload's cgroup with `resources` of the OCI spec; returns its folder. */
int cgroup_make(const char *id, const json_t *resources, struct error *error);
/* Nothing may run in it. */
void cgroup_remove(const char *id);
/* SIGKILL to all in it. */
void cgroup_kill(int cgroup);
/* Waits a moment until it has taken effect. */
int cgroup_freeze(int cgroup, bool frozen, struct error *error);
/* Processes killed for lack of memory so far. */
uint64_t cgroup_oom_kills(int cgroup);
/* memory.events opened for polling (EPOLLPRI), or -1. */
int cgroup_open_events(int cgroup);
bool cgroup_is_empty(int cgroup);
/* Stats of src/ports/supervisor.ts; new reference. */
json_t *cgroup_stats(int cgroup);

/* guest_devices.c: allows exactly what the rules (OCI linux.resources.devices, the last match wins) and the
 * devices that every workload has allow; anything else is denied. */
int cgroup_allow_devices(int cgroup, const json_t *rules, struct error *error);
