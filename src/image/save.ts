import { GantryError } from "../model/errors.ts";
import { decompressed } from "./compression.ts";
import { mediaTypes } from "./documents.ts";
import { nameAnnotation } from "./layout.ts";
import type { Store } from "./store.ts";
import { tarEnd, tarFile, tarMember } from "./tar-write.ts";

/** One image to write, under the names it was asked by. */
export interface Saved {
  digest: string;
  names: string[];
}

const hexOf = (digest: string): string => digest.slice("sha256:".length);

/** An OCI image layout as a tar: blobs as they are in the store. */
async function* ociArchive(store: Store, images: readonly Saved[]): AsyncGenerator<Uint8Array> {
  const written = new Set<string>();
  const entries: object[] = [];
  yield* tarFile({ name: "oci-layout" }, '{"imageLayoutVersion":"1.0.0"}');
  for (const { digest, names } of images) {
    const { manifest } = await store.documents(digest);
    const bytes = await store.blobs.document(digest);
    const descriptor = { mediaType: manifest.mediaType, digest, size: bytes.length };
    for (const blob of [descriptor, manifest.config, ...manifest.layers]) {
      if (written.has(blob.digest)) continue;
      written.add(blob.digest);
      const member = { name: `blobs/sha256/${hexOf(blob.digest)}`, size: blob.size };
      yield* tarMember(member, store.blobs.stream(blob));
    }
    if (names.length === 0) entries.push(descriptor);
    for (const name of names)
      entries.push({
        ...descriptor,
        annotations: { [nameAnnotation]: name, "io.containerd.image.name": name },
      });
  }
  const index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests: entries };
  yield* tarFile({ name: "index.json" }, JSON.stringify(index));
  yield tarEnd();
}

/** What `docker save` writes: uncompressed layers and configurations by digest, and manifest.json. */
async function* dockerArchive(store: Store, images: readonly Saved[]): AsyncGenerator<Uint8Array> {
  const written = new Set<string>();
  const entries: object[] = [];
  for (const { digest, names } of images) {
    const { manifest, config } = await store.documents(digest);
    const diffIds = config.rootfs.diff_ids;
    const lower: string[] = [];
    for (const [at, descriptor] of manifest.layers.entries()) {
      const diffId = diffIds[at] as string;
      const tar = () => decompressed(store.blobs.stream(descriptor), `layer ${descriptor.digest}`);
      // The member's header wants the size before the data; an unpacked layer remembers it.
      const { tarBytes, path } = await store.layers.ensure(diffId, tar, { lower });
      lower.unshift(path);
      if (written.has(diffId)) continue;
      written.add(diffId);
      yield* tarMember({ name: `${hexOf(diffId)}.tar`, size: tarBytes }, tar());
    }
    const configName = `${hexOf(manifest.config.digest)}.json`;
    if (!written.has(configName)) {
      written.add(configName);
      yield* tarFile({ name: configName }, await store.blobs.document(manifest.config.digest));
    }
    entries.push({
      Config: configName,
      RepoTags: names.length === 0 ? null : names,
      Layers: diffIds.map((diffId) => `${hexOf(diffId)}.tar`),
    });
  }
  yield* tarFile({ name: "manifest.json" }, JSON.stringify(entries));
  yield tarEnd();
}

/** The archive's stream; the images are pinned until it has ended or is given up. */
export async function* saveArchive(
  store: Store,
  images: readonly Saved[],
  format: "oci-archive" | "docker-archive",
): AsyncGenerator<Uint8Array> {
  const writers = { "oci-archive": ociArchive, "docker-archive": dockerArchive };
  if (!Object.hasOwn(writers, format))
    throw new GantryError(
      "invalid",
      `archive format ${format} is not known; use oci-archive or docker-archive`,
    );
  const releases = images.map(({ digest }) => store.pins.hold(digest));
  try {
    yield* writers[format](store, images);
  } finally {
    for (const release of releases) release();
  }
}
