import type { Paths } from "../../lib/paths.ts";
import { cachedSeccomp } from "../../lib/seccomp.ts";
import type { InstanceConfig } from "../../model/instance.ts";
import type { IsolationBackend, Refusal } from "../../ports/isolation.ts";
import type { Supervisors } from "../../ports/supervisor.ts";
import { facts } from "./facts.ts";
import { withFiles } from "./files.ts";
import { createLayer, removeLayer } from "./layer.ts";
import { probe } from "./probe.ts";
import { closeSandbox, openSandbox } from "./sandbox.ts";
import { workloadSpec } from "./workload.ts";

export interface ContainerBackendOptions {
  paths: Paths;
  supervisors: Supervisors;
}

/** The wall of a shared kernel: namespaces, cgroups and filters, applied by crun or runc. Probes at first use. */
export function createContainerBackend(options: ContainerBackendOptions): IsolationBackend {
  const { paths, supervisors } = options;
  let probed: ReturnType<typeof probe> | undefined;
  const once = () => {
    probed ??= probe(paths, supervisors);
    return probed;
  };
  const compile = cachedSeccomp((profile) => supervisors.oneShot(["seccomp"], profile));
  return {
    isolation: "container",
    facts: async () => facts(await once()),
    refusals,
    createLayer: (instance, image) => createLayer(paths, instance.id, image),
    removeLayer: (instanceId) => removeLayer(paths, instanceId),
    open: async (request, undo) => openSandbox(paths, supervisors, await once(), request, undo),
    workload: async (request) => {
      const { runtime } = await once();
      return await workloadSpec(paths, request, runtime?.name === "crun" ? compile : undefined);
    },
    close: (sandbox) => closeSandbox(paths, supervisors, sandbox),
    withFiles: (request, use) => withFiles(paths, supervisors, request, use),
  };
}

/** What of a configuration a container cannot hold. */
export function refusals(config: InstanceConfig): Refusal[] {
  if (config.limits.storage === undefined) return [];
  return [
    {
      flag: "--storage-opt size=",
      reason:
        "a container's writable layer is a folder of the host's file system, where its size cannot be limited; use --isolation vm, whose layer is a disk of its own",
    },
  ];
}
