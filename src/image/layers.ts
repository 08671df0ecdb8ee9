import { createHash, randomBytes } from "node:crypto";
import { chmod, mkdir, readdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { syncFolder, writeFileAtomic } from "../lib/atomic.ts";
import { exec } from "../lib/exec.ts";
import { KeyedLock } from "../lib/lock.ts";
import { GantryError } from "../model/errors.ts";
import type { Supervisors } from "../ports/supervisor.ts";
import { failing } from "./failure.ts";
import type { Pins } from "./pins.ts";

/** An unpacked layer. */
export interface Layer {
  diffId: string;
  /** The tree, as overlayfs takes it for a lower folder. */
  path: string;
  /** Bytes of the uncompressed tar. */
  tarBytes: number;
}

const marker = "layer.json";
/** Overlay mounts hold many of these paths in one page, so the key is cut; the marker has the whole digest. */
const keyDigits = 16;

/** Removes a tree that may hold anything: coreutils' rm never follows a link that was swapped in. */
export const removeTree = async (path: string): Promise<void> => {
  await exec(["rm", "-rf", "--one-file-system", "--", path], { timeout: 600_000 });
};

/**
 * Unpacked layers, shared by diff id: `<folder>/<key>/fs` with a marker beside it. A layer is unpacked into a
 * temporary folder, checked, synced and only then renamed, so that what has its name is whole.
 */
export class Layers {
  readonly #lock = new KeyedLock();
  readonly #known = new Map<string, Layer>();

  constructor(
    readonly folder: string,
    readonly supervisors: Pick<Supervisors, "oneShot">,
    readonly pins: Pins,
  ) {}

  #place(diffId: string): string {
    return join(this.folder, diffId.slice("sha256:".length).slice(0, keyDigits));
  }

  /** The unpacked layer when it is there. */
  async find(diffId: string): Promise<Layer | undefined> {
    const known = this.#known.get(diffId);
    if (known !== undefined) return known;
    const place = this.#place(diffId);
    const text = await readFile(join(place, marker), "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
    if (text === undefined) return undefined;
    const facts = JSON.parse(text) as { diffId: string; tarBytes: number };
    if (facts.diffId !== diffId)
      throw new GantryError("internal", `layers ${diffId} and ${facts.diffId} have the same short key`);
    const layer = { diffId, path: join(place, "fs"), tarBytes: facts.tarBytes };
    this.#known.set(diffId, layer);
    return layer;
  }

  /**
   * The unpacked layer, made from `tar` (uncompressed) when it is not there; callers at the same time share one
   * unpacking. `made` is called when it was. The tar's end mark may be missing, as some writers leave it, where a
   * digest given from outside vouches for the whole; `needsEnd` says that none does. `lower`: trees of the layers below,
   * topmost first, which tell how folders look that the tar only implies (a layer that is there already stays as it is).
   * Throws `corrupt` when the tar is damaged or is not `diffId`.
   */
  async ensure(
    diffId: string,
    tar: () => AsyncIterable<Uint8Array>,
    options: { made?: () => void; needsEnd?: boolean; lower?: readonly string[] } = {},
  ): Promise<Layer> {
    const release = this.pins.hold(diffId);
    try {
      return await this.#lock.run(diffId, async () => {
        const there = await this.find(diffId);
        if (there !== undefined) return there;
        const temporary = await this.#unpack(tar(), options.needsEnd ?? false, options.lower ?? []);
        return this.#keep(temporary, diffId, options.made);
      });
    } finally {
      release();
    }
  }

  async #unpack(tar: AsyncIterable<Uint8Array>, needsEnd: boolean, lower: readonly string[]): Promise<Layer> {
    const path = join(this.folder, `.tmp-${randomBytes(8).toString("hex")}`);
    const tree = join(path, "fs");
    const hash = createHash("sha256");
    let tarBytes = 0;
    let sourceError: unknown;
    let ended = false;
    async function* hashed() {
      try {
        for await (const part of tar) {
          hash.update(part);
          tarBytes += part.length;
          yield part;
        }
        ended = true;
      } catch (error) {
        sourceError = error;
        throw error;
      }
    }
    try {
      await failing("making a layer folder", async () => {
        // Images hold setuid programs: nobody but root reaches them here.
        await mkdir(this.folder, { recursive: true, mode: 0o700 });
        await mkdir(path, { mode: 0o700 });
        await mkdir(tree);
        await chmod(tree, 0o755); // whatever the umask: it is the image's root folder
      });
      const args = [
        "unpack",
        "--dest",
        tree,
        "--whiteouts",
        "--sync",
        ...(needsEnd ? [] : ["--end-optional"]),
        ...lower.flatMap((below) => ["--lower", below]),
      ];
      await failing("unpacking a layer", () => this.supervisors.oneShot(args, hashed()));
      if (sourceError !== undefined) throw sourceError;
      if (!ended) throw new GantryError("corrupt", "a layer has data after its end");
      return { diffId: `sha256:${hash.digest("hex")}`, path, tarBytes };
    } catch (error) {
      await removeTree(path);
      throw sourceError ?? error;
    }
  }

  async #keep(temporary: Layer, diffId: string, made?: () => void): Promise<Layer> {
    try {
      if (temporary.diffId !== diffId)
        throw new GantryError("corrupt", `a layer unpacks to ${temporary.diffId} instead of ${diffId}`);
      await failing("keeping a layer", async () => {
        await writeFileAtomic(
          join(temporary.path, marker),
          JSON.stringify({ diffId, tarBytes: temporary.tarBytes }),
        );
        await rename(temporary.path, this.#place(diffId));
      });
    } catch (error) {
      await removeTree(temporary.path);
      throw error;
    }
    made?.();
    await syncFolder(this.folder);
    return (await this.find(diffId)) as Layer;
  }

  /** All unpacked layers. */
  async all(): Promise<Layer[]> {
    const found: Layer[] = [];
    for (const name of await readdir(this.folder).catch(() => [] as string[])) {
      if (!/^[a-f0-9]+$/.test(name)) continue;
      const text = await readFile(join(this.folder, name, marker), "utf8").catch(() => undefined);
      if (text === undefined) continue;
      const { diffId, tarBytes } = JSON.parse(text) as { diffId: string; tarBytes: number };
      found.push({ diffId, tarBytes, path: join(this.folder, name, "fs") });
    }
    return found;
  }

  /**
   * Renames a layer that nothing holds out of the way, so that no half of it is ever taken for it. The caller removes
   * `trash` by `removeTree`. Nothing when it is held or not there.
   */
  retire(diffId: string): Promise<{ trash: string; bytes: number } | undefined> {
    return this.#lock.run(diffId, async () => {
      if (this.pins.has(diffId)) return undefined;
      const layer = await this.find(diffId);
      if (layer === undefined) return undefined;
      this.#known.delete(diffId);
      const trash = join(this.folder, `.trash-${randomBytes(8).toString("hex")}`);
      await rename(this.#place(diffId), trash);
      return { trash, bytes: layer.tarBytes };
    });
  }

  /** Removes what a crash left half made or half removed. */
  async reconcile(): Promise<void> {
    for (const name of await readdir(this.folder).catch(() => [] as string[]))
      if (name.startsWith(".tmp-") || name.startsWith(".trash-")) await removeTree(join(this.folder, name));
  }
}
