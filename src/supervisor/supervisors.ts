import { join } from "node:path";
import type { Paths } from "../lib/paths.ts";
import { GantryError } from "../model/errors.ts";
import type { Isolation } from "../model/isolation.ts";
import type { Supervisor, Supervisors } from "../ports/supervisor.ts";
import { SupervisorClient } from "./client.ts";
import { runOneShot } from "./one-shot.ts";
import { killProcess, waitGone } from "./process.ts";
import { spawnSupervisor } from "./spawn.ts";

export interface SupervisorsOptions {
  /** The program is `<libexec>/gantry-supervisor`. */
  paths: Pick<Paths, "libexec">;
}

/** Makes the supervisor room. Nothing is started before the first call. */
export function createSupervisors({ paths }: SupervisorsOptions): Supervisors {
  const program = join(paths.libexec, "gantry-supervisor");
  return {
    program,
    open: async (mode: Isolation, folder: string, config: unknown, timeout: number): Promise<Supervisor> => {
      await spawnSupervisor(program, mode, folder, config, timeout);
      return await SupervisorClient.connect(folder, timeout);
    },
    connect: async (folder: string): Promise<Supervisor | undefined> => {
      try {
        return await SupervisorClient.connect(folder);
      } catch (error) {
        if (error instanceof GantryError && error.code === "unavailable") return undefined;
        throw error;
      }
    },
    kill: killProcess,
    waitGone,
    oneShot: (args, input) => runOneShot(program, args, input),
  };
}
