import { knownCapabilities } from "../../model/capabilities.ts";
import { GantryError } from "../../model/errors.ts";
import type { RuntimeSpec } from "../../model/oci.ts";

export { knownCapabilities };

/** What a workload's root has unless the user says otherwise: Docker's set. */
export const defaultCapabilities: readonly string[] = `
  CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE
  SETFCAP`
  .trim()
  .split(/\s+/)
  .map((name) => `CAP_${name}`);

/** `net_admin`, `CAP_NET_ADMIN` → `CAP_NET_ADMIN`; `all` → `ALL`. Throws `invalid` for a name that Linux does not know. */
export function normalizeCapability(name: string): string {
  const upper = name.trim().toUpperCase();
  if (upper === "ALL" || upper === "CAP_ALL") return "ALL";
  const full = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
  if (!knownCapabilities.includes(full))
    throw new GantryError(
      "invalid",
      `capability ${JSON.stringify(name)} is not known; use a name as in capabilities(7), for example NET_ADMIN, or ALL`,
    );
  return full;
}

/**
 * The capabilities of a workload, in the kernel's order. As in Docker: adding ALL takes everything but what is dropped;
 * dropping ALL leaves what is added; otherwise the default set less what is dropped, and what is added wins.
 * `available`: what the wall has to give (absent: all). What was not asked for by name is left out without it.
 */
export function capabilities(
  capAdd: readonly string[],
  capDrop: readonly string[],
  available?: ReadonlySet<string>,
): string[] {
  const added = new Set(capAdd.map(normalizeCapability));
  const dropped = new Set(capDrop.map(normalizeCapability));
  const base = dropped.has("ALL") ? [] : defaultCapabilities.filter((name) => !dropped.has(name));
  const wanted = added.has("ALL")
    ? new Set(knownCapabilities.filter((name) => !dropped.has(name)))
    : new Set([...base, ...added]);
  return knownCapabilities.filter(
    (name) => wanted.has(name) && (!available || available.has(name) || added.has(name)),
  );
}

/** Nothing can be read there: the host's hardware and keys. */
export const maskedPaths: readonly string[] = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
];

/** Readable, but not even root changes the kernel's settings there. */
export const readonlyPaths: readonly string[] = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
];

type DeviceRule = RuntimeSpec["linux"]["resources"]["devices"][number];

const use = (major: number, minor?: number): DeviceRule => ({
  allow: true,
  type: "c",
  major,
  ...(minor === undefined ? {} : { minor }),
  access: "rwm",
});

/** Nothing, then: any device file may be made, these may be used. */
export const deviceRules: readonly DeviceRule[] = [
  { allow: false, access: "rwm" },
  { allow: true, type: "c", access: "m" },
  { allow: true, type: "b", access: "m" },
  use(1, 3), // null
  use(1, 5), // zero
  use(1, 7), // full
  use(1, 8), // random
  use(1, 9), // urandom
  use(5, 0), // tty
  use(5, 1), // console
  use(5, 2), // ptmx
  use(136), // pts/*
];
