import { GantryError } from "../model/errors.ts";
import type { Descriptor } from "../model/oci.ts";
import type { Archive } from "./archive.ts";
import { documentLimit, mediaTypes, parseConfig, parseIndex, parseManifest } from "./documents.ts";
import type { StagedImage } from "./ingest.ts";
import { nameAnnotation } from "./layout.ts";
import { canonicalName } from "./reference.ts";
import { type StagedFile, smallFile } from "./staging.ts";

const indexes: readonly string[] = [mediaTypes.index, mediaTypes.dockerList];
const manifests: readonly string[] = [mediaTypes.manifest, mediaTypes.dockerManifest];
const depthLimit = 4;

/** A blob of the archive that is what its descriptor says. */
function blob(archive: Archive, descriptor: Descriptor): StagedFile {
  const file = archive.find(`blobs/sha256/${descriptor.digest.slice("sha256:".length)}`);
  if (file === undefined) throw new GantryError("corrupt", `the archive lacks the blob ${descriptor.digest}`);
  if (file.digest !== descriptor.digest)
    throw new GantryError(
      "corrupt",
      `a blob of the archive is named ${descriptor.digest} but has the digest ${file.digest}`,
    );
  if (file.size !== descriptor.size)
    throw new GantryError(
      "corrupt",
      `blob ${descriptor.digest} has ${file.size} bytes, its descriptor says ${descriptor.size}`,
    );
  return file;
}

const runsHere = ({ platform }: Descriptor): boolean =>
  platform === undefined || (platform.os === "linux" && platform.architecture === "amd64");

/** The manifest for linux/amd64 that a descriptor leads to. */
async function select(archive: Archive, descriptor: Descriptor, depth = 0): Promise<Descriptor> {
  if (manifests.includes(descriptor.mediaType)) return descriptor;
  if (!indexes.includes(descriptor.mediaType))
    throw new GantryError("unsupported", `${descriptor.mediaType} in the archive is no image`);
  if (depth >= depthLimit) throw new GantryError("corrupt", "the archive's indexes are nested too deep");
  const bytes = await smallFile(blob(archive, descriptor).path, documentLimit, `index ${descriptor.digest}`);
  const choices = parseIndex(bytes, `index ${descriptor.digest}`).manifests.filter(runsHere);
  const choice = choices.find(({ platform }) => platform !== undefined) ?? choices[0];
  if (choice === undefined)
    throw new GantryError("unsupported", "the archive's image has no variant for linux/amd64");
  return select(archive, choice, depth + 1);
}

/** The name that an entry of index.json carries; a bare tag without a repository is no name. */
function nameOf(descriptor: Descriptor): string | undefined {
  const full = descriptor.annotations?.["io.containerd.image.name"];
  if (full !== undefined) return canonicalName(full);
  const name = descriptor.annotations?.[nameAnnotation];
  return name !== undefined && /[/:]/.test(name) ? canonicalName(name) : undefined;
}

async function stage(archive: Archive, top: Descriptor): Promise<StagedImage> {
  const { mediaType, digest, size } = await select(archive, top);
  const descriptor = { mediaType, digest, size };
  const blobs = new Map([[digest, blob(archive, descriptor)]]);
  const bytes = await smallFile(blob(archive, descriptor).path, documentLimit, `manifest ${digest}`);
  const manifest = parseManifest(bytes, `manifest ${digest}`);
  if (
    manifest.config.mediaType !== mediaTypes.config &&
    manifest.config.mediaType !== mediaTypes.dockerConfig
  )
    throw new GantryError(
      "unsupported",
      `the archive holds ${manifest.config.mediaType}, which is no container image`,
    );
  for (const part of [manifest.config, ...manifest.layers]) blobs.set(part.digest, blob(archive, part));
  const configFile = blobs.get(manifest.config.digest) as StagedFile;
  const configBytes = await smallFile(configFile.path, documentLimit, "the image configuration");
  const config = parseConfig(configBytes, manifest, `configuration ${manifest.config.digest}`);
  const name = nameOf(top);
  return { names: name === undefined ? [] : [name], descriptor, manifest, config, blobs };
}

/** The images of an OCI image layout in a tar. Throws `corrupt` for what is damaged or missing, `unsupported` for other platforms. */
export async function readOciArchive(archive: Archive): Promise<StagedImage[]> {
  const index = parseIndex(await archive.document("index.json"), "the archive's index.json");
  if (index.manifests.length === 0)
    throw new GantryError("corrupt", "the archive's index.json names no image");
  const here = index.manifests.filter(runsHere);
  if (here.length === 0) throw new GantryError("unsupported", "the archive has no image for linux/amd64");
  const images: StagedImage[] = [];
  for (const descriptor of here) {
    const image = await stage(archive, descriptor);
    const same = images.find((have) => have.descriptor.digest === image.descriptor.digest);
    if (same === undefined) images.push(image);
    else same.names = [...new Set([...same.names, ...image.names])];
  }
  return images;
}
