import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { GantryError } from "../model/errors.ts";

export type Compression = "none" | "gzip" | "zstd";

const known: [Buffer, Compression | "bzip2" | "xz"][] = [
  [Buffer.from([0x1f, 0x8b]), "gzip"],
  [Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), "zstd"],
  [Buffer.from("BZh"), "bzip2"],
  [Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]), "xz"],
];

/** Tells by the first bytes. Throws `unsupported` for a compression that OCI does not have. */
export function detectCompression(head: Uint8Array, what: string): Compression {
  const found = known.find(([magic]) => magic.equals(head.subarray(0, magic.length)))?.[1] ?? "none";
  if (found === "bzip2" || found === "xz")
    throw new GantryError(
      "unsupported",
      `${what} is compressed with ${found}; decompress it first: only gzip, zstd and plain are taken`,
    );
  return found;
}

/** Takes the first `count` bytes (fewer at the end) and gives them with the whole stream, read once, or closed unread. */
async function peek(
  source: AsyncIterable<Uint8Array>,
  count: number,
): Promise<{ head: Buffer; all: AsyncGenerator<Uint8Array>; close: () => Promise<unknown> }> {
  const iterator = source[Symbol.asyncIterator]();
  const parts: Uint8Array[] = [];
  let size = 0;
  while (size < count) {
    const next = await iterator.next();
    if (next.done) break;
    parts.push(next.value);
    size += next.value.length;
  }
  async function* all() {
    try {
      yield* parts;
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value;
    } finally {
      await iterator.return?.();
    }
  }
  const close = async () => iterator.return?.();
  return { head: Buffer.concat(parts).subarray(0, count), all: all(), close };
}

/** A stream with the compression that its first bytes tell. Throws `invalid` for an empty one, `unsupported` as above. */
export async function sniff(
  source: AsyncIterable<Uint8Array>,
  what: string,
): Promise<{ compression: Compression; all: AsyncGenerator<Uint8Array> }> {
  const { head, all, close } = await peek(source, 6);
  try {
    if (head.length === 0) throw new GantryError("invalid", `${what} is empty`);
    return { compression: detectCompression(head, what), all };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * Pipes a stream through a program that reads its standard input and writes its standard output, with
 * back-pressure both ways. Compressors run as children since the built-in ones hold up the event loop.
 * An error of the source is passed on; a program that fails throws `code` with the end of its stderr.
 */
export async function* through(
  argv: readonly [string, ...string[]],
  source: AsyncIterable<Uint8Array>,
  code: "corrupt" | "internal",
  what: string,
): AsyncGenerator<Uint8Array> {
  const child: ChildProcessByStdio<Writable, Readable, Readable> = spawn(argv[0], argv.slice(1), {
    stdio: ["pipe", "pipe", "pipe"],
  });
  let complaint = "";
  child.stderr.on("data", (part: Buffer) => {
    complaint = (complaint + part.toString("utf8")).slice(-4096);
  });
  const ended = new Promise<number>((resolve, reject) => {
    child.once("error", (error: NodeJS.ErrnoException) =>
      reject(
        error.code === "ENOENT"
          ? new GantryError(
              "unavailable",
              `${argv[0]} is not installed or not on the PATH; run ./scripts/setup`,
            )
          : error,
      ),
    );
    child.once("close", (status) => resolve(status ?? 128));
  });
  ended.catch(() => {});
  let sourceError: unknown;
  const feeding = feed(source, child.stdin).catch((error) => {
    sourceError = error;
    child.kill("SIGKILL");
  });
  let whole = false;
  try {
    for await (const part of child.stdout) yield part as Uint8Array;
    const status = await ended;
    if (sourceError !== undefined) throw sourceError;
    if (status !== 0)
      throw new GantryError(
        code,
        `${what}: ${complaint.trim().split("\n").slice(-1)[0] || `${argv[0]} ended with ${status}`}`,
      );
    await feeding; // the program read to the end, so this is over too
    whole = true;
  } finally {
    if (!whole) {
      // The source is not waited for: it may be a slow client. It is left at its next part.
      child.kill("SIGKILL");
      child.stdin.destroy();
      await ended.catch(() => {});
    }
  }
}

/** Writes a stream to a child's input; the child's early end stops it without an error. */
async function feed(source: AsyncIterable<Uint8Array>, sink: Writable): Promise<void> {
  let gone = false;
  sink.on("error", () => {
    gone = true;
  });
  sink.on("close", () => {
    gone = true;
  });
  for await (const part of source) {
    if (gone) break;
    if (part.length > 0 && !sink.write(part))
      await new Promise<void>((resolve) => {
        const done = () => {
          sink.off("drain", done).off("close", done).off("error", done);
          resolve();
        };
        sink.on("drain", done).on("close", done).on("error", done);
      });
  }
  sink.end();
}

/** A stream as it is without its compression, which its first bytes tell. Bad data throws `corrupt` naming `what`. */
export async function* decompressed(
  source: AsyncIterable<Uint8Array>,
  what: string,
): AsyncGenerator<Uint8Array> {
  const { compression, all } = await sniff(source, what);
  if (compression === "none") yield* all;
  else if (compression === "gzip") yield* through(["gzip", "-dc"], all, "corrupt", what);
  else yield* through(["zstd", "-dcq", "--no-progress"], all, "corrupt", what);
}

/**
 * The compression of layers made here: gzip at its quickest. Every registry, Docker, Podman and containerd of any
 * age takes gzip, while zstd shuts out Docker before 23; level 1 costs about a second for 100 MB.
 */
export const compressed = (source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> =>
  through(["gzip", "-1cn"], source, "internal", "compressing a layer");
