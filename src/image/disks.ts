import { createHash, randomBytes } from "node:crypto";
import { chmod, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { syncFolder } from "../lib/atomic.ts";
import { KeyedLock } from "../lib/lock.ts";
import type { Supervisors } from "../ports/supervisor.ts";
import { failing } from "./failure.ts";

/** Names a chain of layers: images with the same layers share one disk. */
export const diskKey = (diffIds: readonly string[]): string =>
  createHash("sha256").update(diffIds.join("\n")).digest("hex");

/** The bytes of a confined files mode request: its one JSON line. */
export const filesRequest = (request: object): Uint8Array => Buffer.from(`${JSON.stringify(request)}\n`);

/** EROFS files of whole images, `<folder>/<key>.erofs`, made once: temp, synced, renamed. */
export class Disks {
  readonly #lock = new KeyedLock();

  constructor(
    readonly folder: string,
    readonly supervisors: Pick<Supervisors, "oneShot">,
  ) {}

  path(key: string): string {
    return join(this.folder, `${key}.erofs`);
  }

  /** The disk of a chain of layers, made from `lower` (topmost first) when it is not there. */
  ensure(key: string, lower: () => Promise<string[]>): Promise<string> {
    return this.#lock.run(key, async () => {
      const path = this.path(key);
      if (await stat(path).catch(() => undefined)) return path;
      const temporary = join(this.folder, `.tmp-${randomBytes(8).toString("hex")}`);
      const layers = await lower();
      try {
        await failing("making an image disk", async () => {
          await mkdir(this.folder, { recursive: true, mode: 0o700 });
          const request = { op: "erofs", lower: layers, output: temporary };
          await this.supervisors.oneShot(["files"], filesRequest(request));
          await chmod(temporary, 0o400);
          const handle = await open(temporary, "r");
          try {
            await handle.sync();
          } finally {
            await handle.close();
          }
          await rename(temporary, path);
          await syncFolder(this.folder);
        });
      } catch (error) {
        await rm(temporary, { force: true });
        throw error;
      }
      return path;
    });
  }

  /** Keys of all disks. */
  async all(): Promise<string[]> {
    const names = await readdir(this.folder).catch(() => [] as string[]);
    return names.filter((name) => /^[a-f0-9]{64}\.erofs$/.test(name)).map((name) => name.slice(0, 64));
  }

  /** Removes a disk; returns bytes freed. */
  remove(key: string): Promise<number> {
    return this.#lock.run(key, async () => {
      const facts = await stat(this.path(key)).catch(() => undefined);
      await rm(this.path(key), { force: true });
      return facts?.size ?? 0;
    });
  }

  /** Removes what a crash left half made. */
  async reconcile(): Promise<void> {
    for (const name of await readdir(this.folder).catch(() => [] as string[]))
      if (name.startsWith(".tmp-")) await rm(join(this.folder, name), { force: true });
  }
}
