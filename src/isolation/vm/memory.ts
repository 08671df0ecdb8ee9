const mib = 1 << 20;

/** The workload's limit when none was asked for, bytes. */
export const defaultMemory = 512 * mib;

/**
 * Guest RAM for a workload that may use `limit` bytes: what the kernel, the initramfs and the guest's supervisor take
 * goes on top, and 1/64 for the kernel's page structures. Whole MiB.
 */
export function guestRam(limit: number | undefined, overhead: number): number {
  const wanted = (limit ?? defaultMemory) + overhead;
  return Math.ceil((wanted + wanted / 64) / mib) * mib;
}

/** Translated code under emulation, MiB: bounded, so that QEMU's own memory is. */
export const translationBuffer = 64;

/**
 * What the host lets a VM's processes take: RAM, QEMU itself (heap, translated code, worker threads' stacks) and
 * virtiofsd. Generous on purpose: a QEMU that is killed for lack of memory takes its guest along.
 */
export const hostLimit = (ram: number, shares: number): number => ram + (shares > 0 ? 512 : 256) * mib;
