const mib = 1 << 20;

/** The workload's limit when none was asked for, bytes. */
export const defaultMemory = 512 * mib;

/**
 * Guest RAM for a workload that may use `limit` bytes, whole MiB: on top goes what the kernel, the initramfs, the
 * guest's supervisor and the kernel's page structures take, as measured (docs/GUEST.md).
 */
export const guestRam = (limit = defaultMemory): number => Math.ceil((limit * 1.022) / mib + 96) * mib;

/** Translated code under emulation, MiB: bounded, so that QEMU's own memory is. */
export const translationBuffer = 64;

/**
 * What the host lets a VM's processes take: RAM, QEMU itself (heap, translated code, worker threads' stacks) and
 * virtiofsd. Generous on purpose: a QEMU that is killed for lack of memory takes its guest along.
 */
export const hostLimit = (ram: number, shares: number): number => ram + (shares > 0 ? 512 : 256) * mib;
