import { join } from "node:path";
import { exitFile, logFile, type Paths, sandboxFolder } from "../../lib/paths.ts";
import type { RuntimeSpec, Seccomp } from "../../model/oci.ts";
import type { WorkloadRequest } from "../../ports/isolation.ts";
import type { WorkloadSpec } from "../../ports/supervisor.ts";
import { upperFolder, workFolder } from "./layer.ts";
import { cgroupPath } from "./sandbox.ts";

const logSize = 10 << 20;
const logFiles = 3;

/** The workload as the container's supervisor takes it. */
export async function workloadSpec(
  paths: Paths,
  request: WorkloadRequest,
  compile: ((profile: Seccomp) => Promise<string>) | undefined,
): Promise<WorkloadSpec> {
  const { instance, sandbox, image, attachment, oci, user, files } = request;
  const { config } = instance;
  return {
    id: instance.id,
    generation: instance.generation,
    oci: await withFilter(localized(oci, cgroupPath(paths, sandbox.id), attachment?.netns), compile),
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

/**
 * The profile compiled beforehand, in crun's annotation: compiling it anew would be most of a start's time. The profile
 * stays in the specification, for a crun that does not know the annotation.
 */
async function withFilter(
  oci: RuntimeSpec,
  compile: ((profile: Seccomp) => Promise<string>) | undefined,
): Promise<RuntimeSpec> {
  const { seccomp } = oci.linux;
  if (!seccomp || !compile) return oci;
  const filter = await compile(seccomp);
  return { ...oci, annotations: { ...oci.annotations, "run.oci.seccomp_bpf_data": filter } };
}

/** The plan with what only this wall knows: the cgroup's path and the network namespace. */
export function localized(oci: RuntimeSpec, cgroupsPath: string, netns: string | undefined): RuntimeSpec {
  const namespaces = oci.linux.namespaces.map((namespace) =>
    namespace.type === "network" && netns ? { type: "network", path: netns } : namespace,
  );
  return { ...oci, linux: { ...oci.linux, cgroupsPath, namespaces } };
}
