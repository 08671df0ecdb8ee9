import type { Descriptor, ImageConfig, Manifest } from "../model/oci.ts";
import type { Image, Progress } from "../ports/image.ts";
import { decompressed } from "./compression.ts";
import { removeTree } from "./layers.ts";
import type { Entry } from "./layout.ts";
import { fileBytes, type StagedFile } from "./staging.ts";
import type { Store } from "./store.ts";

/** An image whose documents are checked and whose blobs wait in a staging folder. */
export interface StagedImage {
  /** Canonical names; none: held by its digest. */
  names: string[];
  descriptor: Descriptor;
  manifest: Manifest;
  config: ImageConfig;
  /** All blobs by digest: manifest, configuration, layers. */
  blobs: Map<string, StagedFile>;
  /** The diff ids were made from the data itself, so that only the archive's end mark tells that it is whole. */
  needsEnd?: boolean;
}

/**
 * Brings staged images into the store, all or none: every layer is unpacked first (which checks its diff id and that
 * it is a sane archive), then blobs are made durable, then the index names them. On failure what was made is removed.
 */
export async function ingest(
  store: Store,
  project: string,
  images: readonly StagedImage[],
  used: () => Iterable<string>,
  progress?: Progress,
): Promise<Image[]> {
  const releases: (() => void)[] = [];
  const made: Made = { layers: [], blobs: [] };
  try {
    for (const image of images) {
      releases.push(store.pins.hold(image.descriptor.digest));
      const diffIds = image.config.rootfs.diff_ids;
      const lower: string[] = [];
      for (const [at, layer] of image.manifest.layers.entries()) {
        const diffId = diffIds[at] as string;
        const staged = image.blobs.get(layer.digest) as StagedFile;
        progress?.({ step: "unpacking layers", done: at, total: diffIds.length });
        releases.push(store.pins.hold(diffId));
        const { path } = await store.layers.ensure(
          diffId,
          () => decompressed(fileBytes(staged.path), `layer ${layer.digest}`),
          { made: () => made.layers.push(diffId), needsEnd: image.needsEnd ?? false, lower },
        );
        lower.unshift(path);
      }
    }
    progress?.({ step: "storing" });
    await store.exclusive(() => commit(store, project, images, made));
  } catch (error) {
    for (const release of releases) release();
    await store.exclusive(() => discard(store, made, used())).catch(() => {}); // the first error counts
    throw error;
  }
  for (const release of releases) release();
  return images.flatMap((image) => {
    const { descriptor, manifest, config } = image;
    const one = { digest: descriptor.digest, manifest, config };
    return image.names.length === 0 ? [one] : image.names.map((name) => ({ name, ...one }));
  });
}

/** What an ingest has put into the store that was not there before. */
interface Made {
  layers: string[];
  blobs: string[];
}

async function commit(
  store: Store,
  project: string,
  images: readonly StagedImage[],
  made: Made,
): Promise<void> {
  const put = new Set<string>();
  for (const image of images)
    for (const [digest, file] of image.blobs) {
      if (put.has(digest)) continue;
      put.add(digest);
      if (!(await store.blobs.has(digest))) made.blobs.push(digest);
      await store.blobs.put(file); // a good copy also mends one that was damaged
    }
  await store.blobs.sync();
  await store.layout.update((entries) => {
    const names = new Set(images.flatMap((image) => image.names));
    const digests = new Set(images.map((image) => image.descriptor.digest));
    // A name moves; an image held by its digest alone is not held twice.
    const kept = entries.filter(
      (entry) =>
        entry.project !== project ||
        (entry.name === undefined ? !digests.has(entry.descriptor.digest) : !names.has(entry.name)),
    );
    const added = new Map<string, Entry>();
    for (const { names, descriptor } of images) {
      for (const name of names) added.set(name, { project, name, descriptor });
      const held = kept.some(
        (entry) => entry.project === project && entry.descriptor.digest === descriptor.digest,
      );
      if (names.length === 0 && !held) added.set(descriptor.digest, { project, descriptor });
    }
    return [...kept, ...added.values()];
  });
}

/** Removes what a failed ingest made, but for what something else has taken up since. */
async function discard(store: Store, made: Made, used: Iterable<string>): Promise<void> {
  if (made.layers.length + made.blobs.length === 0) return;
  const keep = await store.reachable(used, await store.layout.entries());
  for (const diffId of made.layers) {
    const retired = keep.layers.has(diffId) ? undefined : await store.layers.retire(diffId);
    if (retired !== undefined) await removeTree(retired.trash);
  }
  for (const digest of made.blobs) if (!keep.blobs.has(digest)) await store.blobs.remove(digest);
}
