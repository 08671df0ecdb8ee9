/** What this room's tests share: a room on a temporary root with the real confined unpacker, and archives by real tools. */
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { type ErrorCode, errorCodes, GantryError } from "../model/errors.ts";
import type { Supervisors } from "../ports/supervisor.ts";

/** The built supervisor program. */
export const program = join(
  process.env.GANTRY_LIBEXEC ?? join(import.meta.dir, "../../build"),
  "gantry-supervisor",
);

/** The port's one-shot modes by the real program. */
export const supervisors: Pick<Supervisors, "oneShot" | "program"> = {
  program,
  oneShot: (args, input) =>
    new Promise((resolve, reject) => {
      const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
      const out: Buffer[] = [];
      let complaint = "";
      child.stdout.on("data", (part: Buffer) => out.push(part));
      child.stderr.on("data", (part: Buffer) => {
        complaint += part.toString("utf8");
      });
      child.stdin.on("error", () => {});
      const source = Readable.from(
        input === undefined ? [] : input instanceof Uint8Array ? [Buffer.from(input)] : input,
      );
      source.on("error", (error) => {
        child.kill("SIGKILL");
        reject(error);
      });
      source.pipe(child.stdin);
      child.once("error", reject);
      child.once("close", (status) => {
        source.destroy();
        if (status === 0) return resolve(Buffer.concat(out));
        const { code, message } = JSON.parse(complaint || '{"code":"internal","message":"killed"}');
        reject(new GantryError(errorCodes.includes(code) ? code : "internal", message));
      });
    }),
};

/** A temporary folder that goes when the test does. */
export function temporary(parent = "/tmp"): { path: string } & Disposable {
  const path = mkdtempSync(join(parent, "image-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Runs a tool and returns its standard output. */
export const tool = (program: string, ...args: string[]): Buffer =>
  execFileSync(program, args, { stdio: ["ignore", "pipe", "pipe"], maxBuffer: 256 << 20 });

/** A file as a stream of parts of `size` bytes. */
export async function* parts(bytes: Uint8Array, size = 1 << 16): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
export async function* file(path: string): AsyncGenerator<Uint8Array> {
  yield* parts(await readFile(path));
}

export async function gather(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const part of source) all.push(part);
  return Buffer.concat(all);
}

/** What a promise is refused with: its code and message; fails when it is not a GantryError or not refused. */
export async function refusal(promise: Promise<unknown>): Promise<{ code: ErrorCode; message: string }> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof GantryError) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error("this should have been refused");
}
