import { createHash, randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { GantryError } from "../model/errors.ts";
import { failing } from "./failure.ts";

/** A file on its way into the store: complete, hashed, not durable yet. */
export interface StagedFile {
  path: string;
  /** `sha256:<hex>` of its content. */
  digest: string;
  /** Bytes. */
  size: number;
}

const readSize = 1 << 20;

/** The bytes of a regular file that the store owns, in parts of 1 MiB. */
export async function* fileBytes(path: string): AsyncGenerator<Uint8Array> {
  const handle = await open(path, "r");
  try {
    for (;;) {
      const buffer = Buffer.allocUnsafe(readSize);
      const { bytesRead } = await handle.read(buffer, 0, readSize, null);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}

/** The first bytes of a file, fewer when it is shorter. */
export async function fileHead(path: string, count: number): Promise<Buffer> {
  const handle = await open(path, "r");
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(count), 0, count, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** A small file's content; throws `corrupt` when it is larger than `limit`. */
export async function smallFile(path: string, limit: number, what: string): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of fileBytes(path)) {
    size += part.length;
    if (size > limit) throw new GantryError("corrupt", `${what} is larger than ${limit} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

async function writeAll(handle: FileHandle, part: Uint8Array): Promise<void> {
  for (let at = 0; at < part.length; ) at += (await handle.write(part, at)).bytesWritten;
}

/** A folder of its own for one operation's half-made files; gone with everything in it at the end. */
export class Staging implements AsyncDisposable {
  #count = 0;
  private constructor(readonly folder: string) {}

  static async open(parent: string): Promise<Staging> {
    const folder = join(parent, randomBytes(8).toString("hex"));
    await failing("making a staging folder", () => mkdir(folder, { recursive: true, mode: 0o700 }));
    return new Staging(folder);
  }

  /** A path in the folder that is not taken. */
  newPath(): string {
    return join(this.folder, `${this.#count++}`);
  }

  /** Writes a stream to a file and hashes it on the way. Throws `exhausted` when the disk is full. */
  async write(source: AsyncIterable<Uint8Array>): Promise<StagedFile> {
    const path = this.newPath();
    const hash = createHash("sha256");
    let size = 0;
    const handle = await failing("staging", () => open(path, "wx", 0o600));
    try {
      for await (const part of source) {
        hash.update(part);
        size += part.length;
        await failing("storing image data", () => writeAll(handle, part));
      }
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    } finally {
      await handle.close();
    }
    return { path, digest: `sha256:${hash.digest("hex")}`, size };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}
