import Type, { type Static, type TSchema } from "typebox";
import Value from "typebox/value";
import { GantryError } from "../model/errors.ts";
import type { Descriptor, ImageConfig, Manifest } from "../model/oci.ts";
import { parseStrictJson } from "./strict-json.ts";

/** Bytes of a manifest, index or configuration; larger ones are refused. */
export const documentLimit = 4 << 20;
/** As many layers as overlayfs takes. */
const layerLimit = 500;

export const mediaTypes = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar",
  layerGzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  layerZstd: "application/vnd.oci.image.layer.v1.tar+zstd",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
} as const;

const Digest = Type.String({ pattern: "^sha256:[a-f0-9]{64}$" });
const Text = Type.String({ maxLength: 1 << 16 });
const Texts = Type.Record(Type.String(), Text);
const orNull = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]));

const DescriptorSchema = Type.Object({
  mediaType: Type.String({ maxLength: 256 }),
  digest: Digest,
  size: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  annotations: orNull(Texts),
  platform: Type.Optional(Type.Object({ architecture: Text, os: Text, variant: Type.Optional(Text) })),
});

const ManifestSchema = Type.Object({
  schemaVersion: Type.Literal(2),
  mediaType: Type.Optional(Text),
  config: DescriptorSchema,
  layers: Type.Array(DescriptorSchema, { maxItems: layerLimit }),
  annotations: orNull(Texts),
});

const IndexSchema = Type.Object({
  schemaVersion: Type.Literal(2),
  mediaType: Type.Optional(Text),
  manifests: Type.Array(DescriptorSchema, { maxItems: 100_000 }),
});

const List = Type.Array(Text, { maxItems: 10_000 });
const KeySet = Type.Record(Type.String(), Type.Union([Type.Object({}), Type.Null()]));
const ConfigSchema = Type.Object({
  architecture: Text,
  os: Text,
  created: orNull(Text),
  author: orNull(Text),
  config: orNull(
    Type.Object({
      User: orNull(Text),
      ExposedPorts: orNull(KeySet),
      Env: orNull(List),
      Entrypoint: orNull(List),
      Cmd: orNull(List),
      Volumes: orNull(KeySet),
      WorkingDir: orNull(Text),
      Labels: orNull(Texts),
      StopSignal: orNull(Text),
    }),
  ),
  rootfs: Type.Object({
    type: Type.Literal("layers"),
    diff_ids: Type.Union([Type.Array(Digest, { maxItems: layerLimit }), Type.Null()]),
  }),
  history: orNull(Type.Array(Type.Object({}))),
});

const DockerArchiveSchema = Type.Array(
  Type.Object({
    Config: Text,
    RepoTags: orNull(Type.Array(Text, { maxItems: 10_000 })),
    Layers: Type.Union([Type.Array(Text, { maxItems: layerLimit }), Type.Null()]),
  }),
  { minItems: 1, maxItems: 10_000 },
);

export interface Index {
  schemaVersion: 2;
  mediaType?: string;
  manifests: Descriptor[];
}
export interface DockerArchiveEntry {
  Config: string;
  RepoTags?: string[] | null;
  Layers: string[] | null;
}

function check<T extends TSchema>(schema: T, bytes: Uint8Array, what: string): Static<T> {
  if (bytes.length > documentLimit)
    throw new GantryError("corrupt", `${what} is larger than ${documentLimit} bytes`);
  const value = parseStrictJson(bytes, what);
  if (Value.Check(schema, value)) return value as Static<T>;
  const first = Value.Errors(schema, value)[0];
  throw new GantryError(
    "corrupt",
    `${what} is not as the OCI image specification says: ${first?.instancePath || "the document"} ${first?.message ?? "is wrong"}`,
  );
}

/** Leaves out what is null, as Docker writes absent fields. */
function withoutNulls<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part !== null)) as T;
}

/** An image index or the layout's index.json. Throws `corrupt`. */
export const parseIndex = (bytes: Uint8Array, what: string): Index =>
  check(IndexSchema, bytes, what) as Index;

/** An image manifest, OCI's or Docker's schema 2; `mediaType` is filled in when the document has none. Throws `corrupt`. */
export function parseManifest(bytes: Uint8Array, what: string): Manifest {
  const manifest = check(ManifestSchema, bytes, what) as unknown as Manifest;
  return { ...withoutNulls(manifest), mediaType: manifest.mediaType ?? mediaTypes.manifest };
}

/** An image configuration that fits its manifest. Throws `corrupt`, or `unsupported` for another platform. */
export function parseConfig(
  bytes: Uint8Array,
  manifest: Pick<Manifest, "layers">,
  what: string,
): ImageConfig {
  const config = withoutNulls(check(ConfigSchema, bytes, what)) as unknown as ImageConfig;
  if (config.os !== "linux" || config.architecture !== "amd64")
    throw new GantryError(
      "unsupported",
      `${what} is for ${config.os}/${config.architecture}; only linux/amd64 images run here`,
    );
  config.rootfs.diff_ids ??= [];
  if (config.rootfs.diff_ids.length !== manifest.layers.length)
    throw new GantryError(
      "corrupt",
      `${what} names ${config.rootfs.diff_ids.length} layers, its manifest ${manifest.layers.length}`,
    );
  if (config.config !== undefined) config.config = withoutNulls(config.config);
  return config;
}

/** The manifest.json of a docker-archive. Throws `corrupt`. */
export const parseDockerArchive = (bytes: Uint8Array): DockerArchiveEntry[] =>
  check(DockerArchiveSchema, bytes, "the archive's manifest.json") as DockerArchiveEntry[];
