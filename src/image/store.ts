import { mkdir, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { KeyedLock } from "../lib/lock.ts";
import type { Descriptor, ImageConfig, Manifest } from "../model/oci.ts";
import type { Supervisors } from "../ports/supervisor.ts";
import { Blobs } from "./blobs.ts";
import { Disks, diskKey } from "./disks.ts";
import { parseConfig, parseManifest } from "./documents.ts";
import { failing } from "./failure.ts";
import { Layers, removeTree } from "./layers.ts";
import { type Entry, Layout } from "./layout.ts";
import { Pins } from "./pins.ts";
import { Staging } from "./staging.ts";

/** A manifest with its configuration, read and checked. */
export interface Documents {
  digest: string;
  manifest: Manifest;
  config: ImageConfig;
  /** Bytes of all blobs. */
  size: number;
}

const cacheLimit = 1000;

/** The parts of the store on disk, and what may not be in two hands at once. */
export class Store {
  readonly layout: Layout;
  readonly blobs: Blobs;
  readonly layers: Layers;
  readonly disks: Disks;
  readonly pins = new Pins();
  readonly #lock = new KeyedLock();
  readonly #documents = new Map<string, Documents>();

  constructor(
    readonly root: string,
    supervisors: Pick<Supervisors, "oneShot">,
  ) {
    const folder = join(root, "images");
    this.layout = new Layout(folder);
    this.blobs = new Blobs(folder);
    this.layers = new Layers(join(root, "layers"), supervisors, this.pins);
    this.disks = new Disks(join(root, "disks"), supervisors);
  }

  /** Commits and collections happen one at a time. */
  exclusive<T>(step: () => Promise<T>): Promise<T> {
    return this.#lock.run("store", step);
  }

  /** A folder for one operation's files, on the store's own file system. */
  async staging(): Promise<Staging> {
    const parent = join(this.layout.folder, ".staging");
    await failing("making the image store", () => mkdir(parent, { recursive: true, mode: 0o700 }));
    return Staging.open(parent);
  }

  /** Manifest and configuration by digest, verified when first read in this process. Throws `corrupt`. */
  async documents(digest: string): Promise<Documents> {
    const known = this.#documents.get(digest);
    if (known !== undefined) return known;
    const bytes = await this.blobs.document(digest);
    const manifest = parseManifest(bytes, `manifest ${digest}`);
    const configBytes = await this.blobs.document(manifest.config.digest);
    const config = parseConfig(configBytes, manifest, `configuration ${manifest.config.digest}`);
    const blobs: Descriptor[] = [manifest.config, ...manifest.layers];
    const size = blobs.reduce((sum, blob) => sum + blob.size, bytes.length);
    const documents = { digest, manifest, config, size };
    if (this.#documents.size >= cacheLimit) this.#documents.clear();
    this.#documents.set(digest, documents);
    return documents;
  }

  /**
   * All that the roots reach: names in the index, pins, and `used`. Throws `corrupt` for a named or used image whose
   * documents are damaged: what it needs cannot be known, so nothing may be called unused until it is removed.
   */
  async reachable(used: Iterable<string>, entries: readonly Entry[]): Promise<Reachable> {
    const named = entries.map((entry) => entry.descriptor.digest);
    const found: Reachable = { blobs: new Set(), layers: new Set(), disks: new Set() };
    const present = new Set(await this.blobs.all());
    for (const root of new Set([...named, ...used, ...this.pins.all()])) {
      found.blobs.add(root);
      found.layers.add(root); // pins hold layers as well as manifests
      if (!present.has(root) && !named.includes(root)) continue;
      const { manifest, config } = await this.documents(root);
      for (const blob of [manifest.config, ...manifest.layers]) found.blobs.add(blob.digest);
      for (const diffId of config.rootfs.diff_ids) found.layers.add(diffId);
      found.disks.add(diskKey(config.rootfs.diff_ids));
    }
    return found;
  }

  /** Removes all that is not reachable. Returns bytes freed. Throws as `reachable` does. */
  async sweep(used: Iterable<string>): Promise<number> {
    const trash: string[] = [];
    const freed = await this.exclusive(async () => {
      let bytes = 0;
      const keep = await this.reachable(used, await this.layout.entries());
      for (const key of await this.disks.all())
        if (!keep.disks.has(key)) bytes += await this.disks.remove(key);
      for (const layer of await this.layers.all()) {
        const retired = keep.layers.has(layer.diffId) ? undefined : await this.layers.retire(layer.diffId);
        if (retired === undefined) continue;
        trash.push(retired.trash);
        bytes += retired.bytes;
      }
      for (const digest of await this.blobs.all())
        if (!keep.blobs.has(digest)) {
          this.#documents.delete(digest);
          bytes += await this.blobs.remove(digest);
        }
      return bytes;
    });
    for (const path of trash) await removeTree(path); // this takes long: nobody has to wait for it
    return freed;
  }

  /** Out of the way at once, removed in time: half a Debian takes many seconds, and the engine is waited for. */
  async #clearStaging(): Promise<void> {
    const { folder } = this.layout;
    await rename(join(folder, ".staging"), join(folder, `.left-${Date.now()}`)).catch(() => {});
    const left = (await readdir(folder).catch(() => [])).filter((name) => name.startsWith(".left-"));
    // What fails now is tried again at the next start.
    void Promise.all(left.map((name) => removeTree(join(folder, name)))).catch(() => {});
  }

  /** Clears what a crashed engine left half done. */
  async reconcile(): Promise<void> {
    await this.#clearStaging();
    await this.layout.reconcile();
    await this.layers.reconcile();
    await this.disks.reconcile();
  }
}

/** Digests of blobs and layers, keys of disks. */
export interface Reachable {
  blobs: Set<string>;
  layers: Set<string>;
  disks: Set<string>;
}
