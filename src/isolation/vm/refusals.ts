import type { InstanceConfig } from "../../model/instance.ts";
import type { Refusal } from "../../ports/isolation.ts";
import { smallestLayer } from "./layer.ts";

const mib = 1 << 20;
/** Host folders and files a VM can have (supervisor/vm_config.h). */
const mostShares = 128;

/** What of this configuration cannot hold in a VM; pure. */
export function refusals(config: InstanceConfig, cpus: number): Refusal[] {
  const found: Refusal[] = [];
  const { storage, cpus: wanted } = config.limits;
  if (storage !== undefined && storage < smallestLayer)
    found.push({
      flag: "--storage-opt size",
      reason: `a VM's writable layer is a file system of its own and needs at least ${smallestLayer / mib} MiB`,
    });
  if (wanted !== undefined && wanted > cpus)
    found.push({ flag: "--cpus", reason: `this host has ${cpus} CPUs, a VM cannot be given ${wanted}` });
  const shares = config.mounts.filter((mount) => mount.type !== "tmpfs").length;
  if (shares > mostShares)
    found.push({
      flag: "--volume",
      reason: `a VM can share at most ${mostShares} host folders and files, not ${shares}`,
    });
  return found;
}
