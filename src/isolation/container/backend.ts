import { readFileSync } from "node:fs";
import type { Paths } from "../../lib/paths.ts";
import { cachedSeccomp } from "../../lib/seccomp.ts";
import { capabilitiesOf, knownCapabilities } from "../../model/capabilities.ts";
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
    refusals: (config) => refusals(config, hostCapabilities()),
    capabilities: hostCapabilities,
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

let host: ReadonlySet<string> | undefined;
/** What this engine was given itself, so what its containers can be given. */
export function hostCapabilities(): ReadonlySet<string> {
  const mask = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  host ??= new Set(capabilitiesOf(mask ?? "0"));
  return host;
}

/** What of a configuration a container cannot hold, where the engine has the capabilities `available`. */
export function refusals(config: InstanceConfig, available: ReadonlySet<string>): Refusal[] {
  const found: Refusal[] = [];
  if (config.limits.storage !== undefined)
    found.push({
      flag: "--storage-opt size=",
      reason:
        "a container's writable layer is a folder of the host's file system, where its size cannot be limited; use --isolation vm, whose layer is a disk of its own",
    });
  for (const given of config.capAdd) {
    const name = `CAP_${given.trim().toUpperCase().replace(/^CAP_/, "")}`;
    if (name === "CAP_ALL" || available.has(name) || !knownCapabilities.includes(name)) continue;
    found.push({
      flag: `--cap-add ${name.slice(4)}`,
      reason:
        "this host does not give it to the engine, so no container can have it; use --isolation vm, where the guest's kernel does",
    });
  }
  return found;
}
