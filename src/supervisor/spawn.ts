import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { GantryError } from "../model/errors.ts";
import type { Isolation } from "../model/isolation.ts";
import { errorOf, parseJson } from "./wire.ts";

const readinessLimit = 64 << 10;
const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * Starts a supervisor that outlives this process: in a session of its own, its configuration on standard input,
 * and waits for its readiness line. Throws what the line says, `deadline` after `timeout` ms (it is killed then),
 * `unavailable` when it ended without a word.
 */
export async function spawnSupervisor(
  program: string,
  mode: Isolation,
  folder: string,
  config: unknown,
  timeout: number,
): Promise<void> {
  const child = spawn(program, [mode], {
    cwd: "/",
    detached: true,
    env: { PATH: path, GANTRY_SANDBOX: folder }, // by which a later engine finds it, however early this one dies
    stdio: ["pipe", "pipe", "ignore"],
  });
  let timer: Timer | undefined;
  try {
    const line = await new Promise<string>((resolve, reject) => {
      let text = "";
      timer = setTimeout(() => {
        child.kill("SIGKILL");
        reject(
          new GantryError(
            "deadline",
            `the ${mode}'s supervisor was not ready within ${timeout} ms; see ${folder}/supervisor.log`,
          ),
        );
      }, timeout);
      child.once("error", (error) =>
        reject(
          new GantryError("unavailable", `${program} cannot be run: ${error.message}; run ./scripts/setup`, {
            cause: error,
          }),
        ),
      );
      child.stdin.on("error", () => {});
      child.stdout.on("data", (chunk: Buffer) => {
        text += chunk.toString("utf8");
        if (text.includes("\n") || text.length > readinessLimit) resolve(text.split("\n", 1)[0]!);
      });
      child.stdout.once("end", () => resolve(text));
      child.stdin.end(JSON.stringify(config));
    });
    if (line === "ready") return;
    child.kill("SIGKILL");
    throw errorOf(parseJson(line)) ?? new GantryError("unavailable", await lastWords(mode, folder));
  } finally {
    clearTimeout(timer);
    child.stdout.destroy();
    child.unref();
  }
}

async function lastWords(mode: Isolation, folder: string): Promise<string> {
  const log = await readFile(join(folder, "supervisor.log"), "utf8").catch(() => "");
  const last = log.trim().split("\n").at(-1);
  return `the ${mode}'s supervisor ended before it was ready${last ? `: ${last}` : " and left no message"}`;
}
