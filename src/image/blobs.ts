import { createHash } from "node:crypto";
import { mkdir, open, readdir, rename, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { syncFolder } from "../lib/atomic.ts";
import { GantryError } from "../model/errors.ts";
import type { Descriptor } from "../model/oci.ts";
import { documentLimit } from "./documents.ts";
import { failing } from "./failure.ts";
import { fileBytes, type StagedFile } from "./staging.ts";

type Named = Pick<Descriptor, "digest" | "size">;

const damaged = (digest: string, why: string) =>
  new GantryError(
    "corrupt",
    `blob ${digest} ${why}; remove the images that use it with rmi and load them again`,
  );

/** The blobs of an OCI image layout. Content is immutable, named by its digest and checked whenever it is read. */
export class Blobs {
  readonly #folder: string;

  /** `layout`: the layout's folder. */
  constructor(layout: string) {
    this.#folder = join(layout, "blobs", "sha256");
  }

  path(digest: string): string {
    return join(this.#folder, digest.slice("sha256:".length));
  }

  /** Takes a staged file over: synced, then renamed to its digest's place. The caller syncs the folder by `sync`. */
  async put(file: StagedFile): Promise<void> {
    await failing("storing a blob", async () => {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      const handle = await open(file.path, "r");
      try {
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(file.path, this.path(file.digest));
    });
  }

  async has(digest: string): Promise<boolean> {
    return (await stat(this.path(digest)).catch(() => undefined)) !== undefined;
  }

  /** Makes all renames so far durable. */
  sync(): Promise<void> {
    return failing("syncing the blobs", () => syncFolder(this.#folder));
  }

  /** Reads a manifest or configuration; throws `corrupt` when it is missing or is not what its digest says. */
  async document(digest: string): Promise<Buffer> {
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const part of this.#checked(digest)) {
      size += part.length;
      if (size > documentLimit) throw damaged(digest, `is larger than ${documentLimit} bytes`);
      parts.push(part);
    }
    return Buffer.concat(parts);
  }

  /** Streams a blob; throws `corrupt` at its end when size or digest are not the descriptor's. */
  async *stream(descriptor: Named): AsyncGenerator<Uint8Array> {
    let size = 0;
    for await (const part of this.#checked(descriptor.digest)) {
      size += part.length;
      yield part;
    }
    if (size !== descriptor.size)
      throw damaged(descriptor.digest, `has ${size} bytes instead of ${descriptor.size}`);
  }

  async *#checked(digest: string): AsyncGenerator<Uint8Array> {
    const hash = createHash("sha256");
    try {
      for await (const part of fileBytes(this.path(digest))) {
        hash.update(part);
        yield part;
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") throw damaged(digest, "is missing");
      throw error;
    }
    if (`sha256:${hash.digest("hex")}` !== digest) throw damaged(digest, "does not have its digest");
  }

  /** All digests in the store. */
  async all(): Promise<string[]> {
    const names = await readdir(this.#folder).catch(() => [] as string[]);
    return names.filter((name) => /^[a-f0-9]{64}$/.test(name)).map((name) => `sha256:${name}`);
  }

  /** Removes a blob; returns the bytes freed. */
  async remove(digest: string): Promise<number> {
    const size = await stat(this.path(digest)).then(
      (facts) => facts.size,
      () => 0,
    );
    await unlink(this.path(digest)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    });
    return size;
  }
}
