import { createHash } from "node:crypto";
import type { ImageConfig, Manifest } from "../model/oci.ts";
import type { Image, Progress } from "../ports/image.ts";
import { compressed, decompressed, sniff } from "./compression.ts";
import { mediaTypes } from "./documents.ts";
import { ingest, type StagedImage } from "./ingest.ts";
import { fileBytes, type StagedFile, type Staging } from "./staging.ts";
import type { Store } from "./store.ts";

/** What an image made from one tar says of itself. */
export interface OneLayer {
  /** Canonical; absent: held by its digest. */
  name?: string;
  settings: NonNullable<ImageConfig["config"]>;
  /** History's line of how it came to be. */
  createdBy: string;
  comment?: string;
  created: Date;
}

const once = async function* (text: string) {
  yield Buffer.from(text);
};

/** Stages a layer: compressed input as it came, plain input as gzip. Returns its diff id when it is known already. */
async function stageLayer(
  staging: Staging,
  tar: AsyncIterable<Uint8Array>,
): Promise<{ file: StagedFile; mediaType: string; diffId: string }> {
  const { compression, all } = await sniff(tar, "the archive");
  const hash = createHash("sha256");
  async function* hashed(source: AsyncIterable<Uint8Array>) {
    for await (const part of source) {
      hash.update(part);
      yield part;
    }
  }
  if (compression === "none") {
    const file = await staging.write(compressed(hashed(all)));
    return { file, mediaType: mediaTypes.layerGzip, diffId: `sha256:${hash.digest("hex")}` };
  }
  const file = await staging.write(all);
  for await (const _ of hashed(decompressed(fileBytes(file.path), "the archive")));
  const mediaType = compression === "gzip" ? mediaTypes.layerGzip : mediaTypes.layerZstd;
  return { file, mediaType, diffId: `sha256:${hash.digest("hex")}` };
}

/** Makes a one-layer image of a root file system's tar (plain, gzip or zstd) and brings it into the store. */
export async function importTar(
  store: Store,
  project: string,
  tar: AsyncIterable<Uint8Array>,
  about: OneLayer,
  used: () => Iterable<string>,
  progress?: Progress,
): Promise<Image> {
  await using staging = await store.staging();
  progress?.({ step: "reading archive" });
  const { file, mediaType, diffId } = await stageLayer(staging, tar);
  const created = about.created.toISOString();
  const config: ImageConfig = {
    created,
    architecture: "amd64",
    os: "linux",
    config: about.settings,
    rootfs: { type: "layers", diff_ids: [diffId] },
    history: [{ created, created_by: about.createdBy, ...(about.comment ? { comment: about.comment } : {}) }],
  };
  const configFile = await staging.write(once(JSON.stringify(config)));
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: { mediaType: mediaTypes.config, digest: configFile.digest, size: configFile.size },
    layers: [{ mediaType, digest: file.digest, size: file.size }],
  };
  const manifestFile = await staging.write(once(JSON.stringify(manifest)));
  const image: StagedImage = {
    names: about.name === undefined ? [] : [about.name],
    descriptor: { mediaType: mediaTypes.manifest, digest: manifestFile.digest, size: manifestFile.size },
    manifest,
    config,
    needsEnd: true,
    blobs: new Map([manifestFile, configFile, file].map((one) => [one.digest, one])),
  };
  const [made] = await ingest(store, project, [image], used, progress);
  return made as Image;
}
