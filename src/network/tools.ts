import { type ExecOptions, type ExecResult, exec } from "../lib/exec.ts";

/** In the environment of each tool: the pid of the engine that it works for. */
export const toolMark = "GANTRY_NETWORK_TOOL_OF";

/** System folders come last on the PATH: a plain user's PATH lacks them. One language for messages. */
const environment = (): NodeJS.ProcessEnv => ({
  ...process.env,
  PATH: `${process.env.PATH ?? ""}:/usr/sbin:/sbin:/usr/bin:/bin`,
  LC_ALL: "C",
  [toolMark]: String(process.pid),
});

/** Runs a network tool; see `exec` for what it throws. */
export const run = (argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> =>
  exec(argv, { timeout: 30_000, env: environment(), ...options });

/** Runs `ip` commands one after another in one process; ends at the first that fails. */
export const ipBatch = (lines: readonly string[]): Promise<ExecResult> =>
  run(["ip", "-batch", "-"], { input: `${lines.join("\n")}\n` });

/** As `ipBatch`, but goes on after a failure, and failing is no error: for taking things away. */
export const ipBatchForce = (lines: readonly string[]): Promise<ExecResult> =>
  run(["ip", "-force", "-batch", "-"], { input: `${lines.join("\n")}\n`, ok: [0, 1, 2, 255] });

/** Output of `ip -j …`. */
export async function ipJson<T>(args: readonly string[]): Promise<T[]> {
  const { stdout } = await run(["ip", "-j", ...args]);
  return stdout.trim() === "" ? [] : (JSON.parse(stdout) as T[]);
}

/** Applies nft commands in one transaction: all of them or none. */
export const nft = (text: string): Promise<ExecResult> => run(["nft", "-f", "-"], { input: text });
