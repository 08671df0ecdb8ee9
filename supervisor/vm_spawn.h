/* Starts QEMU confined, and virtiofsd; both die with the shim. */
#pragma once
#include <sys/types.h>

#include "vm_cgroup.h"
#include "vm_config.h"

/* Descriptors by their number in QEMU (enum vm_descriptor); -1: none. All are at VM_FD_END or above in the shim. */
struct vm_descriptors {
  int fds[VM_FD_END];
};

void vm_descriptors_init(struct vm_descriptors *descriptors);
void vm_descriptors_close(struct vm_descriptors *descriptors);
/* Takes over `fd` (moved out of QEMU's range, close-on-exec) as QEMU's number `place`. */
int vm_descriptors_set(struct vm_descriptors *descriptors, int place, int fd, struct error *error);
/* Opens the configuration's disks (regular files, no link followed in the last part) and its tap. */
int vm_descriptors_open(struct vm_descriptors *descriptors, const struct vm_config *config, struct error *error);

/* `output` takes its standard output and error. Returns the pid; errors of the child until its exec are reported here. */
pid_t vm_spawn_qemu(const struct vm_config *config, const struct vm_cgroup *cgroup,
                    const struct vm_descriptors *descriptors, int output, struct error *error);

/*
 * virtiofsd over `<run folder>/shares`, which must be mounted (vm_share.h), waiting for one connection on the listening
 * socket `listener`.
 */
pid_t vm_spawn_virtiofsd(const struct vm_config *config, const struct vm_cgroup *cgroup, int listener, int output,
                         struct error *error);
