import { GantryError } from "../../model/errors.ts";
import type { RuntimeSpec } from "../../model/oci.ts";
import type { HostMount } from "../../ports/isolation.ts";

/** The guest's way to share number N. */
export const guestShare = (index: number): string => `/run/gantry/shares/${index}`;

export interface Share {
  source: string;
  readOnly: boolean;
}

/** One share a host mount, in its order: mount N of the instance is `/run/gantry/shares/N`. */
export const sharesOf = (hostMounts: readonly HostMount[]): Share[] =>
  hostMounts.map(({ source, readOnly }) => ({ source, readOnly }));

/**
 * The spec with every bind of a host path turned to its share. Throws `internal` for a bind that is not among
 * `hostMounts`: the guest has no other way to a host path, and it must not take a path of its own for one.
 */
export function rewriteBinds(spec: RuntimeSpec, hostMounts: readonly HostMount[]): RuntimeSpec {
  const mounts = spec.mounts.map((mount) => {
    if (mount.type !== "bind") return mount;
    const index = hostMounts.findIndex(
      (host) => host.target === mount.destination && host.source === mount.source,
    );
    if (index < 0)
      throw new GantryError(
        "internal",
        `bind mount of ${mount.source} at ${mount.destination} is not among the host mounts`,
      );
    return { ...mount, source: guestShare(index) };
  });
  return { ...spec, mounts };
}
