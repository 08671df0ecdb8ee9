/* What QEMU sees of the host's files: its programs and libraries read-only, kernel and initramfs, three devices. */
#pragma once
#include "vm_config.h"

/*
 * In a process with a mount namespace of its own: builds the tree on a tmpfs over `<run folder>/root` and makes it
 * the root by pivot_root. `kvm`: with /dev/kvm, owned by the configuration's uid.
 */
int vm_root_enter(const struct vm_config *config, bool kvm, struct error *error);
