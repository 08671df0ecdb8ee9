import { GantryError } from "../../model/errors.ts";
import type { Limits } from "../../model/instance.ts";
import type { RuntimeSpec } from "../../model/oci.ts";

/** What of the host (or the guest) decides how a limit is written. */
export interface LimitFacts {
  /** The kernel that runs the workload counts swap. */
  swapLimit: boolean;
  /** CPUs there are. */
  cpus: number;
  /** Capabilities that the wall has to give; absent: all. */
  capabilities?: ReadonlySet<string>;
}

const period = 100_000;

/**
 * Limits in the runtime specification's terms. As Docker does it, memory and swap together are twice the memory,
 * where swap is counted at all. Throws `invalid` for more CPUs than there are.
 */
export function limitResources(
  limits: Limits,
  facts: LimitFacts,
): Pick<RuntimeSpec["linux"]["resources"], "memory" | "cpu" | "pids"> {
  if (limits.cpus !== undefined && (limits.cpus < 0.01 || limits.cpus > facts.cpus))
    throw new GantryError(
      "invalid",
      `--cpus ${limits.cpus} is out of range: this host takes 0.01 to ${facts.cpus}.00`,
    );
  return {
    ...(limits.memory !== undefined && {
      memory: { limit: limits.memory, ...(facts.swapLimit && { swap: limits.memory * 2 }) },
    }),
    ...(limits.cpus !== undefined && { cpu: { quota: Math.round(limits.cpus * period), period } }),
    ...(limits.pids !== undefined && { pids: { limit: limits.pids } }),
  };
}
