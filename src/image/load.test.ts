import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { ErrorCode } from "../model/errors.ts";
import { createImages } from "./index.ts";
import { tarEnd, tarFile, tarHeader } from "./tar-write.ts";
import { gather, parts, refusal, supervisors, temporary } from "./testing.ts";

const project = "default";
const sha = (bytes: string | Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const tarOf = (...all: Iterable<Uint8Array>[]) =>
  Buffer.concat([...all.flatMap((one) => [...one]), tarEnd()]);
const layer = tarOf(tarFile({ name: "hello" }, "hello"));

const configOf = (diffIds: string[], more: object = {}) =>
  JSON.stringify({
    architecture: "amd64",
    os: "linux",
    config: { Cmd: ["/hello"], Env: null, Volumes: null },
    rootfs: { type: "layers", diff_ids: diffIds },
    ...more,
  });

type Files = Map<string, string | Uint8Array | { symlink: string }>;
const pack = (files: Files) =>
  tarOf(
    ...[...files].map(([name, content]) =>
      typeof content === "object" && "symlink" in content
        ? [tarHeader({ name, type: "symlink", link: content.symlink })]
        : tarFile({ name }, content),
    ),
  );

/** An oci-archive of one image; `change` forges its parts. */
function oci(
  change: {
    config?: string;
    manifest?: (manifest: Record<string, unknown>) => unknown;
    index?: (index: Record<string, unknown>) => unknown;
    files?: (files: Files, digests: { layer: string; config: string; manifest: string }) => void;
    layer?: Uint8Array;
  } = {},
): Buffer {
  const data = change.layer ?? layer;
  const config = change.config ?? configOf([`sha256:${sha(data)}`]);
  const descriptor = (mediaType: string, bytes: string | Uint8Array) => ({
    mediaType: `application/vnd.oci.image.${mediaType}`,
    digest: `sha256:${sha(bytes)}`,
    size: Buffer.from(bytes as string).length,
  });
  const made = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: descriptor("config.v1+json", config),
    layers: [descriptor("layer.v1.tar", data)],
  };
  const manifest = change.manifest ? change.manifest(made) : made;
  const manifestText = typeof manifest === "string" ? manifest : JSON.stringify(manifest);
  const entry = {
    ...descriptor("manifest.v1+json", manifestText),
    annotations: { "org.opencontainers.image.ref.name": "localhost/x:1" },
  };
  const plain = { schemaVersion: 2, manifests: [entry] };
  const index = change.index ? change.index(plain) : plain;
  const files: Files = new Map<string, string | Uint8Array | { symlink: string }>([
    ["oci-layout", '{"imageLayoutVersion":"1.0.0"}'],
    ["index.json", typeof index === "string" ? index : JSON.stringify(index)],
    [`blobs/sha256/${sha(config)}`, config],
    [`blobs/sha256/${sha(data)}`, data],
    [`blobs/sha256/${sha(manifestText)}`, manifestText],
  ]);
  change.files?.(files, { layer: sha(data), config: sha(config), manifest: sha(manifestText) });
  return pack(files);
}

/** A docker-archive in the old form: a folder for each layer, one of them a link to another. */
function docker(change: (files: Files, manifest: Record<string, unknown>) => void = () => {}): Buffer {
  const config = configOf([`sha256:${sha(layer)}`, `sha256:${sha(layer)}`]);
  const files: Files = new Map<string, string | Uint8Array | { symlink: string }>([
    ["aaa/layer.tar", layer],
    ["bbb/layer.tar", { symlink: "../aaa/layer.tar" }],
    [`${sha(config)}.json`, config],
  ]);
  const manifest: Record<string, unknown> = {
    Config: `${sha(config)}.json`,
    RepoTags: ["x:1", "reg.example/y:2"],
    Layers: ["aaa/layer.tar", "bbb/layer.tar"],
  };
  change(files, manifest);
  if (!files.has("manifest.json")) files.set("manifest.json", JSON.stringify([manifest]));
  return pack(files);
}

test("a plain oci-archive, and an old docker-archive with links", async () => {
  using root = temporary();
  const images = createImages({ paths: { root: root.path }, supervisors });
  expect((await images.load(project, parts(oci()))).map(({ name }) => name)).toEqual(["localhost/x:1"]);
  expect((await images.load(project, parts(docker()))).map(({ name }) => name)).toEqual([
    "docker.io/library/x:1",
    "reg.example/y:2",
  ]);
  expect((await images.resolve(project, "x:1")).name).toBe("localhost/x:1");
  const old = await images.resolve(project, "docker.io/x:1");
  expect((await old.layers()).length).toBe(2);
  expect(old.config.config).toEqual({ Cmd: ["/hello"] });
});

test("a layer without an end mark is taken, as its digest vouches for it", async () => {
  using root = temporary();
  const images = createImages({ paths: { root: root.path }, supervisors });
  await images.load(project, parts(oci({ layer: layer.subarray(0, layer.length - 1024) })));
  expect((await images.list(project)).length).toBe(1);
});

test("a multi-platform index gives linux/amd64", async () => {
  using root = temporary();
  const images = createImages({ paths: { root: root.path }, supervisors });
  const nest = (platforms: [string, string][]) =>
    oci({
      index: (plain) => plain,
      files: (files, { manifest }) => {
        const size = Buffer.from(files.get(`blobs/sha256/${manifest}`) as string).length;
        const one = (architecture: string, os: string, digest: string) => ({
          mediaType: "application/vnd.oci.image.manifest.v1+json",
          digest: `sha256:${digest}`,
          size,
          platform: { architecture, os },
        });
        const inner = JSON.stringify({
          schemaVersion: 2,
          manifests: platforms.map(([arch, os]) =>
            one(arch, os, arch === "amd64" ? manifest : "0".repeat(64)),
          ),
        });
        files.set(`blobs/sha256/${sha(inner)}`, inner);
        files.set(
          "index.json",
          JSON.stringify({
            schemaVersion: 2,
            manifests: [
              {
                mediaType: "application/vnd.oci.image.index.v1+json",
                digest: `sha256:${sha(inner)}`,
                size: inner.length,
                annotations: { "org.opencontainers.image.ref.name": "many:1" },
              },
            ],
          }),
        );
      },
    });
  const all: [string, string][] = [
    ["arm64", "linux"],
    ["unknown", "unknown"],
    ["amd64", "linux"],
  ];
  expect((await images.load(project, parts(nest(all))))[0]?.name).toBe("localhost/many:1");
  const { code, message } = await refusal(images.load(project, parts(nest(all.slice(0, 2)))));
  expect(code).toBe("unsupported");
  expect(message).toContain("linux/amd64");
});

const zeros = "0".repeat(64);
const good = oci();
const setSize = (size: unknown) => (manifest: Record<string, unknown>) => {
  (manifest.layers as { size: unknown }[])[0]!.size = size;
  return manifest;
};
const evil = tarOf(tarFile({ name: "../../outside" }, "x"));

test.each<[string, Uint8Array, ErrorCode, string]>([
  ["nothing", Buffer.alloc(0), "invalid", "empty"],
  ["noise", Buffer.from("noise ".repeat(1000)), "corrupt", "no tar archive"],
  ["a root file system", layer, "invalid", "import"],
  ["bzip2", Buffer.from("BZh91AY&SY"), "unsupported", "bzip2"],
  ["half of it", good.subarray(0, good.length >> 1), "corrupt", "truncated"],
  ["half of it in gzip", Bun.gzipSync(new Uint8Array(good)).subarray(0, 300), "corrupt", "the archive"],
  [
    "broken zstd",
    Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), Buffer.alloc(64, 7)]),
    "corrupt",
    "the archive",
  ],
  [
    "a wrong blob",
    oci({ files: (files, { layer }) => files.set(`blobs/sha256/${layer}`, "other") }),
    "corrupt",
    "digest",
  ],
  [
    "a missing blob",
    oci({ files: (files, { layer }) => files.delete(`blobs/sha256/${layer}`) }),
    "corrupt",
    "lacks",
  ],
  ["a wrong size", oci({ manifest: setSize(1) }), "corrupt", "bytes"],
  ["a negative size", oci({ manifest: setSize(-1) }), "corrupt", "size"],
  ["a size in words", oci({ manifest: setSize("12") }), "corrupt", "size"],
  ["a fraction of a size", oci({ manifest: setSize(1.5) }), "corrupt", "size"],
  ["a wrong diff id", oci({ config: configOf([`sha256:${zeros}`]) }), "corrupt", "unpacks to"],
  ["too few diff ids", oci({ config: configOf([]) }), "corrupt", "layers"],
  [
    "another platform",
    oci({ config: configOf([`sha256:${sha(layer)}`], { architecture: "arm64" }) }),
    "unsupported",
    "arm64",
  ],
  [
    "an artifact",
    oci({
      manifest: (made) => ({ ...made, config: { ...(made.config as object), mediaType: "application/x" } }),
    }),
    "unsupported",
    "application/x",
  ],
  [
    "a key twice",
    oci({ manifest: (made) => JSON.stringify(made).replace("{", '{"schemaVersion":2,') }),
    "corrupt",
    "twice",
  ],
  [
    "__proto__",
    oci({ manifest: (made) => JSON.stringify(made).replace("{", '{"__proto__":{},') }),
    "corrupt",
    "__proto__",
  ],
  ["a member twice", tarOf(tarFile({ name: "a" }, "1"), tarFile({ name: "./a" }, "2")), "corrupt", "twice"],
  ["no manifests", oci({ index: (index) => ({ ...index, manifests: [] }) }), "corrupt", "no image"],
  ["an index that is no index", oci({ index: () => "[]" }), "corrupt", "index.json"],
  [
    "a digest of another kind",
    oci({ index: (index) => JSON.stringify(index).replaceAll("sha256:", "sha512:") }),
    "corrupt",
    "digest",
  ],
  [
    "a digest with a path",
    oci({ manifest: (made) => JSON.stringify(made).replace(/sha256:[a-f0-9]+/, "sha256:../../x") }),
    "corrupt",
    "digest",
  ],
  [
    "a bad name",
    oci({ index: (index) => JSON.stringify(index).replace("localhost/x:1", "localhost/../x:1") }),
    "invalid",
    "reference",
  ],
  ["a layer that leaves its folder", oci({ layer: evil }), "invalid", ""],
  ["a layer that is no tar", oci({ layer: Buffer.from("hello") }), "corrupt", ""],
  [
    "a layer of half a gzip",
    oci({
      layer: Bun.gzipSync(new Uint8Array(layer)).subarray(0, 40),
      config: configOf([`sha256:${sha(layer)}`]),
    }),
    "corrupt",
    "layer",
  ],
  [
    "docker: a layer that is not its diff id",
    docker((files) => files.set("aaa/layer.tar", evil)),
    "corrupt",
    "digest",
  ],
  ["docker: a missing layer", docker((files) => files.delete("aaa/layer.tar")), "corrupt", "lacks"],
  [
    "docker: links in a ring",
    docker((files) => files.set("aaa/layer.tar", { symlink: "../bbb/layer.tar" })),
    "corrupt",
    "never end",
  ],
  [
    "docker: a link to the outside",
    docker((files) => files.set("aaa/layer.tar", { symlink: "/etc/passwd" })),
    "corrupt",
    "lacks",
  ],
  [
    "docker: another configuration",
    docker((files, manifest) => files.set(manifest.Config as string, configOf([]))),
    "corrupt",
    "digest",
  ],
  [
    "docker: layers by number",
    docker((_, manifest) => Object.assign(manifest, { Layers: [1] })),
    "corrupt",
    "manifest.json",
  ],
  ["docker: no images", docker((files) => files.set("manifest.json", "[]")), "corrupt", "manifest.json"],
  [
    "docker: a bad tag",
    docker((_, manifest) => Object.assign(manifest, { RepoTags: ["Bad:tag"] })),
    "invalid",
    "lowercase",
  ],
])("load of %s is refused", async (_, bytes, code, why) => {
  using root = temporary();
  const images = createImages({ paths: { root: root.path }, supervisors });
  const got = await refusal(images.load(project, parts(bytes, 4000)));
  expect(got.message).toContain(why);
  expect(got.message).not.toContain("\n");
  expect(got.code).toBe(code);
  expect(await images.list(project)).toEqual([]);
  for (const folder of ["images/.staging", "images/blobs/sha256", "layers"])
    if (existsSync(join(root.path, folder))) expect(readdirSync(join(root.path, folder))).toEqual([]);
});

test.each<[string, Uint8Array, ErrorCode]>([
  ["nothing", Buffer.alloc(0), "invalid"],
  ["noise", Buffer.from("noise ".repeat(1000)), "corrupt"],
  ["half a tar", layer.subarray(0, 700), "corrupt"],
  ["a tar without its end", layer.subarray(0, 1024), "corrupt"],
  ["xz", Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 0]), "unsupported"],
  ["half a gzip", Bun.gzipSync(new Uint8Array(layer)).subarray(0, 50), "corrupt"],
])("import of %s is refused", async (_, bytes, code) => {
  using root = temporary();
  const images = createImages({ paths: { root: root.path }, supervisors });
  const got = await refusal(images.import(project, parts(bytes), { name: "x" }));
  expect(got.code).toBe(code);
  expect(got.message).not.toContain("\n");
  for (const folder of ["images/.staging", "images/blobs/sha256", "layers"])
    if (existsSync(join(root.path, folder))) expect(readdirSync(join(root.path, folder))).toEqual([]);
});

test("a client that goes away in the middle leaves nothing", async () => {
  using root = temporary();
  const images = createImages({ paths: { root: root.path }, supervisors });
  async function* broken() {
    yield layer.subarray(0, 600);
    throw new Error("the client went away");
  }
  for (const take of [
    () => images.import(project, broken(), { name: "x" }),
    () => images.load(project, broken()),
  ])
    expect(await take().catch((error: Error) => error.message)).toBe("the client went away");
  expect(readdirSync(join(root.path, "images/.staging"))).toEqual([]);
});

test("what is saved twice is the same", async () => {
  using root = temporary();
  const images = createImages({ paths: { root: root.path }, supervisors });
  await images.load(project, parts(oci()));
  for (const format of ["oci-archive", "docker-archive"] as const) {
    const first = await gather(await images.save(project, ["x:1"], format));
    expect(first.equals(await gather(await images.save(project, ["localhost/x:1"], format)))).toBe(true);
  }
  expect((await refusal(images.save(project, ["nope"], "oci-archive"))).code).toBe("not_found");
  expect((await refusal(images.save(project, [], "oci-archive"))).code).toBe("invalid");
});

test("a folder that a layer only implies looks as in the layers below", async () => {
  using base = temporary();
  const images = createImages({ paths: { root: base.path }, supervisors });
  const bottom = tarOf(
    tarFile({ name: "tmp/old" }, ""),
    [tarHeader({ name: "tmp/", type: "folder", mode: 0o1777 })],
    [tarHeader({ name: "./", type: "folder", mode: 0o711 })],
  );
  const top = tarOf(tarFile({ name: "tmp/new" }, ""));
  const config = configOf([`sha256:${sha(bottom)}`, `sha256:${sha(top)}`]);
  const files: Files = new Map<string, string | Uint8Array>([
    ["bottom.tar", bottom],
    ["top.tar", top],
    ["config.json", config],
    [
      "manifest.json",
      JSON.stringify([{ Config: "config.json", RepoTags: ["a:1"], Layers: ["bottom.tar", "top.tar"] }]),
    ],
  ]);
  await images.load(project, parts(pack(files)));
  const [path] = await (await images.resolve(project, "a:1")).layers();
  expect(statSync(join(path as string, "tmp")).mode & 0o7777).toBe(0o1777);
  expect(statSync(path as string).mode & 0o7777).toBe(0o711);
});
