/* In the child that becomes a workload's first process: its own mounts and root, as the OCI spec has them. */
#pragma once
#include "guest_rootfs.h"

struct root_plan {
  const json_t *oci;   /* RuntimeSpec */
  const json_t *files; /* ProvidedFile[] */
  const struct rootfs *rootfs;
};

/* To be run in new mount, pid, ipc, uts and cgroup namespaces. Afterwards "/" is the workload's, and its folder too. */
int root_enter(void *root_plan, struct error *error);

/* guest_mounts.c: one mount of the spec, its target looked up inside `root` and made when missing. */
int mount_spec(int root, const json_t *mount, struct error *error);
/* guest_mounts.c: `source` (a file) over `target`. */
int mount_file(int root, const char *source, const char *target, bool read_only, struct error *error);
