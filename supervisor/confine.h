/* Shuts a process in before it touches what is not trusted. The order is that of this file. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "error.h"

/* Own mount, network, IPC and UTS namespaces; nothing mounted from here on is seen elsewhere, nor the reverse. */
int confine_namespaces(struct error *error);

/*
 * Makes the folder the root of the file system and lets go of the old one. `*pivoted` (may be NULL) tells whether
 * pivot_root(2) did it; where that is impossible (the process's own root is no mount: a plain chroot) chroot(2)
 * does, and the loss of CAP_SYS_CHROOT keeps it shut.
 */
int confine_root(const char *folder, bool *pivoted, struct error *error);

/* Closes all descriptors but 0, 1, 2 and the `count` ones of `keep`. */
int confine_descriptors(const int *keep, unsigned count, struct error *error);

#define CAP_BIT(capability) (UINT64_C(1) << (capability))
/* What it takes to make files as an archive has them. */
extern const uint64_t confine_archive_capabilities;

/* No new privileges; all sets hold no more than `capabilities`. Also limits memory, descriptors and core files. */
int confine_privileges(uint64_t capabilities, struct error *error);

/* From here on only the system calls that reading and writing archives takes; anything else kills the process. */
int confine_syscalls(struct error *error);
