import type { IsolationFacts } from "../../ports/isolation.ts";
import type { Probed } from "./probe.ts";

/** What `gantry info` and `doctor` show of the container wall. */
export function facts(probed: Probed): IsolationFacts {
  const { runtime, cgroup, problem } = probed;
  return {
    isolation: "container",
    usable: runtime !== undefined,
    summary: runtime ? `${runtime.name} ${runtime.version}` : `does not run here: ${problem}`,
    details: {
      cgroup,
      "root file system": "overlayfs",
      ...(runtime && {
        runtime: runtime.program,
        "unified hierarchy hidden from the runtime": String(runtime.hideUnified),
      }),
      ...(runtime && problem && { "not used": problem }),
    },
    advice: runtime ? [] : ["install crun (or runc) and run `gantry doctor` again; see the reason above"],
  };
}
