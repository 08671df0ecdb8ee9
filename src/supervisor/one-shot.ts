import { spawn } from "node:child_process";
import { once } from "node:events";
import { GantryError } from "../model/errors.ts";
import { parseJson, toError } from "./wire.ts";

const outputLimit = 64 << 20;
const messageLimit = 64 << 10;

/** Runs a confined mode to its end; see the port. Throws what its last line on standard error says. */
export async function runOneShot(
  program: string,
  args: readonly string[],
  input: AsyncIterable<Uint8Array> | Uint8Array | undefined,
): Promise<Buffer> {
  const child = spawn(program, args, { cwd: "/", env: {}, stdio: ["pipe", "pipe", "pipe"] });
  const ended = new Promise<number>((resolve, reject) => {
    child.once("error", (error) =>
      reject(new GantryError("unavailable", `${program} cannot be run: ${error.message}`, { cause: error })),
    );
    child.once("close", (code) => resolve(code ?? 128));
  });
  ended.catch(() => {}); // awaited below
  child.stdin.on("error", () => {}); // it may end before it has read all
  const collect = (stream: NodeJS.ReadableStream, limit: number): Buffer[] => {
    const parts: Buffer[] = [];
    let size = 0;
    stream.on("data", (part: Buffer) => {
      size += part.length;
      if (size <= limit) parts.push(part);
    });
    return parts;
  };
  const stdout = collect(child.stdout, outputLimit);
  const stderr = collect(child.stderr, messageLimit);
  try {
    await feed(child.stdin, input, ended);
  } catch (error) {
    child.kill("SIGKILL"); // the source failed: nothing is to look whole
    await ended.catch(() => {});
    throw error;
  }
  const status = await ended;
  if (status === 0) return Buffer.concat(stdout);
  const message = Buffer.concat(stderr).toString("utf8").trim();
  const parsed = parseJson(message.split("\n").at(-1) ?? "");
  if (parsed !== undefined) throw toError(parsed);
  throw new GantryError(
    "internal",
    `gantry-supervisor ${args[0]} ended with status ${status}${message ? `: ${message.slice(-500)}` : ""}`,
  );
}

async function feed(
  stdin: NodeJS.WritableStream,
  input: AsyncIterable<Uint8Array> | Uint8Array | undefined,
  ended: Promise<number>,
): Promise<void> {
  let over = false;
  const end = ended.then(
    () => {
      over = true;
    },
    () => {
      over = true;
    },
  );
  if (input instanceof Uint8Array) {
    stdin.end(input);
    return;
  }
  for await (const chunk of input ?? []) {
    if (over) break;
    if (!stdin.write(chunk)) await Promise.race([once(stdin, "drain"), end]);
  }
  stdin.end();
}
