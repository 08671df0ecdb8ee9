import type { InstanceConfig } from "../../model/instance.ts";
import type { RuntimeProcess } from "../../model/oci.ts";
import type { ExecConfig } from "../../ports/engine.ts";
import { capabilities } from "./security-defaults.ts";

/** A further process in a workload: under the same capabilities and no-new-privileges as the first. Pure. */
export function execProcess(
  config: Pick<InstanceConfig, "capAdd" | "capDrop" | "noNewPrivileges">,
  exec: Pick<ExecConfig, "args" | "tty">,
  merged: { env: string[]; cwd: string },
  available?: ReadonlySet<string>,
): RuntimeProcess {
  const set = capabilities(config.capAdd, config.capDrop, available);
  return {
    terminal: exec.tty,
    user: { uid: 0, gid: 0 },
    args: exec.args,
    env: merged.env,
    cwd: merged.cwd,
    capabilities: { bounding: set, effective: set, permitted: set, inheritable: [], ambient: [] },
    noNewPrivileges: config.noNewPrivileges,
  };
}
