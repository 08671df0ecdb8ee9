import type { InstanceRecord } from "../../model/instance.ts";
import type { ImageConfig, RuntimeMount, RuntimeSpec } from "../../model/oci.ts";
import type { HostMount } from "../../ports/isolation.ts";
import type { Attachment, NetworkRequest } from "../../ports/network.ts";
import type { ProvidedFile } from "../../ports/supervisor.ts";
import { providedFiles } from "./files.ts";
import { type Effective, merge } from "./merge.ts";
import { bindMount, runtimeMounts, tmpfsMount, type VolumeWant, wantedMounts } from "./mounts.ts";
import { type LimitFacts, limitResources } from "./resources.ts";
import { type Draft, rules } from "./rules.ts";

/** A bind mount's host side, to be there before the sandbox opens. */
export interface BindWant {
  source: string;
  target: string;
  readOnly: boolean;
  createSource: boolean;
}

/** All that follows from record and image alone. */
export interface Plan {
  effective: Effective;
  oci: RuntimeSpec;
  user: string;
  network: NetworkRequest;
  volumes: VolumeWant[];
  binds: BindWant[];
  tmpfs: RuntimeMount[];
}

/** What a supervisor is given: the plan with host paths and addresses filled in. */
export interface Complete {
  oci: RuntimeSpec;
  user: string;
  files: ProvidedFile[];
  hostMounts: HostMount[];
}

/**
 * Record and image in, plan out: pure. The same specification goes to crun and to the guest's supervisor.
 * Throws `invalid` for what cannot run anywhere.
 */
export function plan(
  instance: Pick<InstanceRecord, "id" | "project" | "sandboxId" | "config">,
  image: ImageConfig,
  facts: LimitFacts,
): Plan {
  const { config } = instance;
  const effective = merge(instance, image);
  const wanted = wantedMounts(config, image);
  const draft: Draft = {
    config,
    effective,
    resources: limitResources(config.limits, facts),
    ...(facts.capabilities && { available: facts.capabilities }),
  };
  return {
    effective,
    oci: rules.reduce((spec, rule) => rule(spec, draft), emptySpec()),
    user: effective.user,
    network: {
      sandboxId: instance.sandboxId,
      project: instance.project,
      mode: config.network,
      end: config.isolation === "vm" ? "tap" : "netns",
      ports: config.ports,
    },
    volumes: wanted
      .filter((mount) => mount.type === "volume")
      .map(({ source, target, readOnly, noCopy }) => ({
        ...(source && { name: source }),
        target,
        readOnly,
        noCopy,
      })),
    binds: wanted
      .filter((mount) => mount.type === "bind")
      .map(({ source, target, readOnly, createSource }) => ({ source, target, readOnly, createSource })),
    tmpfs: wanted.filter((mount) => mount.type === "tmpfs").map(tmpfsMount),
  };
}

/** Fills in what only the start knows: volume folders by target, and the network's address. Pure. */
export function complete(
  planned: Plan,
  volumeFolders: ReadonlyMap<string, string>,
  attachment: Attachment | undefined,
): Complete {
  const hostMounts: HostMount[] = [
    ...planned.binds.map(({ source, target, readOnly }) => ({ source, target, readOnly })),
    ...planned.volumes.map(({ target, readOnly }) => ({
      source: volumeFolders.get(target) ?? missing(target),
      target,
      readOnly,
    })),
  ];
  const own = [
    ...planned.tmpfs,
    ...hostMounts.map(({ source, target, readOnly }) => bindMount(source, target, readOnly)),
  ];
  return {
    oci: { ...planned.oci, mounts: runtimeMounts(own) },
    user: planned.user,
    files: providedFiles(
      planned.effective.hostname,
      attachment,
      new Set(own.map((mount) => mount.destination)),
    ),
    hostMounts,
  };
}

function missing(target: string): never {
  throw new Error(`the volume at ${target} was not resolved before the plan was completed`);
}

const emptySpec = (): RuntimeSpec => ({
  ociVersion: "1.0.2",
  hostname: "",
  root: { path: "rootfs", readonly: false },
  process: {
    terminal: false,
    user: { uid: 0, gid: 0 },
    args: [],
    env: [],
    cwd: "/",
    capabilities: { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] },
    noNewPrivileges: false,
  },
  mounts: [],
  linux: {
    namespaces: [],
    resources: { devices: [] },
    maskedPaths: [],
    readonlyPaths: [],
  },
});

/** Label of an anonymous volume: the id of the instance that it was made for. */
export const instanceLabel = "gantry.instance";
