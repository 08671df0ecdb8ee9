import { GantryError } from "../model/errors.ts";
import type { Descriptor, Manifest } from "../model/oci.ts";
import type { Archive } from "./archive.ts";
import { detectCompression } from "./compression.ts";
import { type DockerArchiveEntry, mediaTypes, parseConfig, parseDockerArchive } from "./documents.ts";
import type { StagedImage } from "./ingest.ts";
import { archiveName } from "./reference.ts";
import { fileHead, type StagedFile, type Staging } from "./staging.ts";

const layerTypes = {
  none: mediaTypes.layer,
  gzip: mediaTypes.layerGzip,
  zstd: mediaTypes.layerZstd,
} as const;

async function layerDescriptor(file: StagedFile, diffId: string): Promise<Descriptor> {
  const compression = detectCompression(await fileHead(file.path, 6), "a layer of the archive");
  if (compression === "none" && file.digest !== diffId)
    throw new GantryError(
      "corrupt",
      `a layer of the archive has the digest ${file.digest}, its configuration says ${diffId}`,
    );
  return { mediaType: layerTypes[compression], digest: file.digest, size: file.size };
}

async function stage(archive: Archive, entry: DockerArchiveEntry, staging: Staging): Promise<StagedImage> {
  const configFile = archive.need(entry.Config);
  const [, claimed] = /([a-f0-9]{64})(?:\.json)?$/.exec(entry.Config) ?? [];
  if (claimed !== undefined && configFile.digest !== `sha256:${claimed}`)
    throw new GantryError(
      "corrupt",
      `the archive's configuration ${claimed} has the digest ${configFile.digest}`,
    );
  const files = (entry.Layers ?? []).map((name) => archive.need(name));
  const bytes = await archive.document(entry.Config);
  const config = parseConfig(
    bytes,
    { layers: files as unknown as Descriptor[] },
    "the archive's configuration",
  );
  const layers: Descriptor[] = [];
  for (const [at, file] of files.entries())
    layers.push(await layerDescriptor(file, config.rootfs.diff_ids[at] as string));
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: { mediaType: mediaTypes.config, digest: configFile.digest, size: configFile.size },
    layers,
  };
  const manifestFile = await staging.write(
    (async function* () {
      yield Buffer.from(JSON.stringify(manifest));
    })(),
  );
  return {
    names: [...new Set((entry.RepoTags ?? []).map(archiveName))],
    descriptor: { mediaType: mediaTypes.manifest, digest: manifestFile.digest, size: manifestFile.size },
    manifest,
    config,
    blobs: new Map([manifestFile, configFile, ...files].map((file) => [file.digest, file])),
  };
}

/** The images of a `docker save` archive, with or without the older per-layer folders. Throws `corrupt` as for OCI archives. */
export async function readDockerArchive(archive: Archive, staging: Staging): Promise<StagedImage[]> {
  const images: StagedImage[] = [];
  for (const entry of parseDockerArchive(await archive.document("manifest.json")))
    images.push(await stage(archive, entry, staging));
  return images;
}
