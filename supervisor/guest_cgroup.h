/* The guest's cgroup v2 tree: one folder a workload, right below the root. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "json.h"

/* Mounts the hierarchy and delegates every controller. */
int guest_cgroup_mount(struct error *error);
/* Makes (or empties the settings of) the workload's cgroup with `resources` of the OCI spec; returns its folder. */
int guest_cgroup_make(const char *id, const json_t *resources, struct error *error);
/* Nothing may run in it. */
void guest_cgroup_remove(const char *id);
/* SIGKILL to all in it. */
void guest_cgroup_kill(int cgroup);
/* Waits a moment until it has taken effect. */
int guest_cgroup_freeze(int cgroup, bool frozen, struct error *error);
/* Processes killed for lack of memory so far. */
uint64_t guest_cgroup_oom_kills(int cgroup);
/* memory.events opened for polling (EPOLLPRI), or -1. */
int guest_cgroup_open_events(int cgroup);
bool guest_cgroup_is_empty(int cgroup);
/* Stats of src/ports/supervisor.ts; new reference. */
json_t *guest_cgroup_stats(int cgroup);

/* guest_devices.c: allows exactly what the rules (OCI linux.resources.devices, the last match wins) and the
 * devices that every workload has allow; anything else is denied. */
int guest_cgroup_allow_devices(int cgroup, const json_t *rules, struct error *error);
