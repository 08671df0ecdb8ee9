import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import Type from "typebox";
import Value from "typebox/value";
import type { Paths } from "../../lib/paths.ts";
import { type ErrorCode, errorCodes, GantryError } from "../../model/errors.ts";
import type { OpenRequest } from "../../ports/isolation.ts";
import type { PathStat, Supervisor, Supervisors } from "../../ports/supervisor.ts";
import { upperFolder, workFolder } from "./layer.ts";

type Files = Pick<Supervisor, "stat" | "readArchive" | "writeArchive">;

const lineLimit = 256 << 10;
const Stat = Type.Object({
  name: Type.String(),
  size: Type.Integer({ minimum: 0 }),
  mode: Type.Integer({ minimum: 0 }),
  mtime: Type.Number(),
  linkTarget: Type.String(),
});

/** The files of a container that does not run: its overlay, mounted in the supervisor's confined `files` mode. */
export async function withFiles<T>(
  paths: Paths,
  supervisors: Supervisors,
  request: OpenRequest,
  use: (files: Files) => Promise<T>,
): Promise<T> {
  const { instance, image } = request;
  const overlay = {
    lower: await image.layers(),
    upper: upperFolder(paths, instance.id),
    work: workFolder(paths, instance.id),
  };
  const line = (op: string, path: string) => Buffer.from(`${JSON.stringify({ op, path, ...overlay })}\n`);
  const running = new Set<ChildProcessWithoutNullStreams>();
  try {
    return await use({
      stat: async (_, path) => checked(await supervisors.oneShot(["files"], line("stat", path))),
      readArchive: async (_, path) => {
        const child = spawn(supervisors.program, ["files"], { cwd: "/", env: {} });
        running.add(child);
        child.once("close", () => running.delete(child));
        child.stdin.on("error", () => {});
        child.stdin.end(line("read", path));
        return await readTar(child);
      },
      writeArchive: async (_, path, tar) => {
        const input = async function* () {
          yield line("write", path);
          yield* tar;
        };
        await supervisors.oneShot(["files"], input());
      },
    });
  } finally {
    for (const child of running) child.kill("SIGKILL");
  }
}

function checked(text: Uint8Array | string): PathStat {
  const value: unknown = JSON.parse(text.toString());
  if (!Value.Check(Stat, value)) throw new GantryError("corrupt", "the file helper's answer is no stat");
  return value;
}

/** The first line is the stat, the rest the tar; only exit status 0 says that it is whole. */
async function readTar(
  child: ChildProcessWithoutNullStreams,
): Promise<{ stat: PathStat; tar: AsyncIterable<Uint8Array> }> {
  let message = "";
  child.stderr.on("data", (part: Buffer) => {
    if (message.length < lineLimit) message += part.toString("utf8");
  });
  const status = new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 128));
  });
  status.catch(() => {});
  const chunks = child.stdout[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let head = Buffer.alloc(0);
  let end = -1;
  while (end < 0) {
    const next = await chunks.next();
    if (next.done || head.length > lineLimit) throw failureOf(await status, message);
    head = Buffer.concat([head, next.value]);
    end = head.indexOf(10);
  }
  const { stat } = JSON.parse(head.subarray(0, end).toString("utf8")) as { stat: unknown };
  const rest = head.subarray(end + 1);
  const tar = async function* () {
    if (rest.length > 0) yield rest;
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) yield next.value;
    const code = await status;
    if (code !== 0) throw failureOf(code, message);
  };
  return { stat: checked(JSON.stringify(stat)), tar: tar() };
}

function failureOf(status: number, message: string): GantryError {
  try {
    const { code, message: text } = JSON.parse(message.trim().split("\n").at(-1) ?? "") as Record<
      string,
      string
    >;
    if (errorCodes.includes(code as ErrorCode)) return new GantryError(code as ErrorCode, text ?? "");
  } catch {
    // no JSON: said below
  }
  return new GantryError("internal", `the file helper ended with status ${status}: ${message.slice(-500)}`);
}
