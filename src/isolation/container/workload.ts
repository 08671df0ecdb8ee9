import { join } from "node:path";
import { exitFile, logFile, type Paths, sandboxFolder } from "../../lib/paths.ts";
import type { RuntimeSpec } from "../../model/oci.ts";
import type { WorkloadRequest } from "../../ports/isolation.ts";
import type { WorkloadSpec } from "../../ports/supervisor.ts";
import { upperFolder, workFolder } from "./layer.ts";
import { cgroupPath } from "./sandbox.ts";

const logSize = 10 << 20;
const logFiles = 3;

/** The workload as the container's supervisor takes it. */
export async function workloadSpec(paths: Paths, request: WorkloadRequest): Promise<WorkloadSpec> {
  const { instance, sandbox, image, attachment, oci, user, files } = request;
  const { config } = instance;
  return {
    id: instance.id,
    generation: instance.generation,
    oci: localized(oci, cgroupPath(paths, sandbox.id), attachment?.netns),
    user,
    rootfs: {
      kind: "overlay",
      lower: await image.layers(),
      upper: upperFolder(paths, instance.id),
      work: workFolder(paths, instance.id),
      target: join(sandboxFolder(paths, sandbox.id), "rootfs"),
    },
    files,
    openStdin: config.openStdin,
    stdinOnce: config.stdinOnce,
    log: { path: logFile(paths, instance.id), maxSize: logSize, maxFiles: logFiles },
    exitFile: exitFile(paths, instance.id),
  };
}

/** The plan with what only this wall knows: the cgroup's path and the network namespace. */
export function localized(oci: RuntimeSpec, cgroupsPath: string, netns: string | undefined): RuntimeSpec {
  const namespaces = oci.linux.namespaces.map((namespace) =>
    namespace.type === "network" && netns ? { type: "network", path: netns } : namespace,
  );
  return { ...oci, linux: { ...oci.linux, cgroupsPath, namespaces } };
}
