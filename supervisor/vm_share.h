/*
 * Host folders and files for the guest: `<run folder>/shares/0`, `1`, ... are bind mounts in the shim's own mount
 * namespace, which virtiofsd exports. They vanish with the shim.
 */
#pragma once
#include "vm_config.h"

/* Makes the shim's mount namespace and the tree. Nothing is mounted when there are no shares. */
int vm_share_mount(const struct vm_config *config, struct error *error);
/*
 * A listening socket for virtiofsd and a connected one for QEMU, both out of QEMU's range of descriptors.
 */
int vm_share_sockets(const struct vm_config *config, int *listener, int *connected, struct error *error);
