import { spawn } from "node:child_process";
import { chmodSync, closeSync, mkdirSync, openSync, readFileSync, statSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type { Paths } from "../lib/paths.ts";
import { GantryError } from "../model/errors.ts";
import { defaultProject } from "../model/ids.ts";

const startTimeout = 10_000;
const logLimit = 1 << 20;

/** What the engine may inherit: nothing that changes how its program runs, and no secrets of a user's shell. */
const inherited = /^(PATH|HOME|LANG|LC_.*|TZ|GANTRY_.*|(https?|no|all)_proxy|(HTTPS?|NO|ALL)_PROXY)$/;

/** The environment that an engine is started with. */
export const engineEnvironment = (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(env).filter(([name]) => inherited.test(name)));

/** How this very program is started again. */
export function ownCommand(): string[] {
  const script = process.argv[1] ?? "";
  return script === "" || script.startsWith("/$bunfs/") ? [process.execPath] : [process.execPath, script];
}

const answers = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });

/** The last lines that the engine logged since `from` bytes, on one line. */
function logEnd(path: string, from: number): string {
  const text = readFileSync(path).subarray(from).toString("utf8").trim();
  return text.split("\n").slice(-5).join(" / ").slice(-1000);
}

/**
 * Starts an engine in a session of its own and waits until it answers on its socket, at most 10 s.
 * Throws `denied` without root, `unavailable` with the end of the engine's log when it does not come up.
 */
export async function startEngine(paths: Paths): Promise<void> {
  if (process.getuid?.() !== 0)
    throw new GantryError(
      "denied",
      `no engine answers on ${paths.socket}, and only root can start one: use sudo`,
    );
  mkdirSync(paths.root, { recursive: true, mode: 0o700 });
  const logPath = join(paths.root, "daemon.log");
  const old = statSync(logPath, { throwIfNoEntry: false })?.size ?? 0;
  const log = openSync(logPath, old > logLimit ? "w" : "a", 0o600);
  chmodSync(logPath, 0o600);
  const from = old > logLimit ? 0 : old;
  const [program, ...rest] = ownCommand();
  const child = spawn(program!, [...rest, "--root", paths.root, "--run", paths.run, "daemon"], {
    cwd: "/",
    detached: true,
    env: engineEnvironment(process.env),
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  let ended: string | undefined;
  child.once("error", (error) => {
    ended = error.message;
  });
  child.once("exit", (code, signal) => {
    ended = signal === null ? `exit status ${code}` : signal;
  });
  child.unref();
  const deadline = Date.now() + startTimeout;
  for (;;) {
    if (await answers(paths.socket)) return;
    if (ended !== undefined || Date.now() > deadline) {
      // Another one may have been faster: then ours ended for a good reason.
      if (await answers(paths.socket)) return;
      const why = ended === undefined ? `is not ready after ${startTimeout / 1000} s` : `ended with ${ended}`;
      throw new GantryError(
        "unavailable",
        `the engine ${why}; ${logPath} ends: ${logEnd(logPath, from) || "(nothing)"}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
}

/**
 * Ends the engine that answers on the socket, if one does, and waits until its process has gone.
 * Throws `denied` when it is another user's, `deadline` after 30 s.
 */
export async function stopEngine(paths: Paths): Promise<void> {
  if (!(await answers(paths.socket))) return;
  const { Api } = await import("../client/api.ts");
  const api = new Api({ socket: paths.socket, project: defaultProject });
  const { pid } = await api.ping();
  api.close();
  const gone = (): boolean => {
    try {
      process.kill(pid, 0);
      return false;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === "ESRCH";
    }
  };
  try {
    process.kill(pid, "SIGTERM");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH")
      throw new GantryError("denied", `the engine (pid ${pid}) cannot be ended: use sudo`, { cause: error });
  }
  for (const deadline = Date.now() + 30_000; !gone(); await new Promise((resolve) => setTimeout(resolve, 20)))
    if (Date.now() > deadline)
      throw new GantryError("deadline", `the engine (pid ${pid}) has not ended within 30 s`);
}
