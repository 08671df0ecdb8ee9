import { resolvePaths } from "../lib/paths.ts";
import { defaultProject } from "../model/ids.ts";
import { Api } from "./api.ts";
import { Box } from "./box.ts";
import { envList, type RunOptions } from "./types.ts";

export { type ErrorCode, GantryError } from "../model/errors.ts";
export type { InstanceConfig } from "../model/instance.ts";
export type { Isolation } from "../model/isolation.ts";
export { Api } from "./api.ts";
export { Box, type Process } from "./box.ts";
export { ClientSession, type OutputSink, type SessionEnd } from "./session.ts";
export type * from "./types.ts";

export interface GantryOptions {
  /** The engine's socket; by default from GANTRY_RUN, or /run/gantry/gantry.sock. */
  socket?: string;
  project?: string;
}

/**
 * A connection to an engine.
 *
 *     await using box = await gantry.run({ image: "debian", isolation: "vm" });
 *     const { stdout, exitCode } = await box.exec(["uname", "-r"]);
 */
export class Gantry {
  /** Every call of the API. */
  readonly api: Api;

  constructor(options: GantryOptions = {}) {
    this.api = new Api({
      socket: options.socket ?? resolvePaths().socket,
      project: options.project ?? defaultProject,
    });
  }

  /**
   * Creates and starts an instance. Its standard input stays open, so that an image whose command is a shell
   * keeps running; say `openStdin: false` for another.
   */
  async run(options: RunOptions): Promise<Box> {
    const { name, env, ...config } = options;
    const box = new Box(
      this.api,
      await this.api.create({ openStdin: true, ...config, env: envList(env) }, name),
    );
    try {
      await this.api.start(box.id);
    } catch (error) {
      await box.remove().catch(() => {}); // the start's error says more
      throw error;
    }
    return box;
  }

  /** An instance that is there already, by id or name. Disposing of it removes it. */
  async get(reference: string): Promise<Box> {
    return new Box(this.api, await this.api.inspect(reference));
  }

  /** Ends kept connections. */
  close(): void {
    this.api.close();
  }
}

/** The engine at the default place. */
export const gantry = new Gantry();
