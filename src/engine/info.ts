import { release } from "node:os";
import type { EngineInfo } from "../ports/engine.ts";
import type { Context } from "./context.ts";
import { cgroupKind } from "./host.ts";

/** See ports/engine.ts. */
export async function info(context: Context): Promise<EngineInfo> {
  const instances: Record<string, number> = {};
  const projects = new Set<string>(["default"]);
  for (const record of context.state.instances.all()) {
    instances[record.state] = (instances[record.state] ?? 0) + 1;
    projects.add(record.project);
  }
  const images = await Promise.all([...projects].map((project) => context.images.list(project)));
  return {
    version: context.version,
    root: context.paths.root,
    run: context.paths.run,
    pid: process.pid,
    kernel: release(),
    cgroup: cgroupKind(),
    instances,
    images: images.flat().length,
    isolations: await Promise.all(Object.values(context.backends).map((backend) => backend.facts())),
    network: await context.network.facts(),
  };
}
