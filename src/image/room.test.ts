import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Undo } from "../lib/undo.ts";
import { createImages } from "./index.ts";
import { file, gather, parts, refusal, supervisors, temporary, tool } from "./testing.ts";

const uses = new Map<string, number>();
const room = (root: string) => createImages({ paths: { root }, supervisors, usage: () => uses });
const project = "default";

/** A tar of a small root file system whose content depends on `word`. */
function rootfs(word: string, ...options: string[]): Buffer {
  using folder = temporary();
  for (const name of ["bin", "etc", "data"]) mkdirSync(join(folder.path, name));
  writeFileSync(join(folder.path, "etc/word"), word);
  writeFileSync(join(folder.path, "data/file"), "content of data", { mode: 0o640 });
  return tool("tar", "-C", folder.path, "--sort=name", "--mtime=@0", "-cf", "-", ...options, ".");
}

/** Everything under the store's folders but the layout's two fixed files. */
const files = (root: string): string[] =>
  ["images/blobs/sha256", "images/.staging", "layers", "disks"].flatMap((folder) => {
    try {
      return readdirSync(join(root, folder)).map((name) => join(folder, name));
    } catch {
      return [];
    }
  });

const digestsOf = (image: { manifest: { layers: { digest: string }[] } }) =>
  image.manifest.layers.map(({ digest }) => digest);

let shared: ReturnType<typeof temporary>;
beforeAll(() => {
  shared = temporary();
});
afterAll(() => shared[Symbol.dispose]());

test.each([
  ["plain", (tar: Buffer) => tar],
  ["gzip", (tar: Buffer) => Buffer.from(Bun.gzipSync(new Uint8Array(tar)))],
  ["zstd", (tar: Buffer) => Buffer.from(Bun.zstdCompressSync(new Uint8Array(tar)))],
])("import of a %s tar; its layers and disk", async (kind, pack) => {
  using root = temporary();
  const images = room(root.path);
  const image = await images.import(project, parts(pack(rootfs(kind)), 1000), {
    name: `t/${kind}`,
    changes: ["CMD sh", "ENV A=b"],
    message: "made",
  });
  expect(image.name).toBe(`localhost/t/${kind}:latest`);
  const found = await images.resolve(project, `t/${kind}`);
  expect(found.config.config).toEqual({ Cmd: ["/bin/sh", "-c", "sh"], Env: ["A=b"] });
  const [a, b] = await Promise.all([found.layers(), found.layers()]);
  expect(a).toEqual(b);
  expect(readFileSync(join(a[0] as string, "etc/word"), "utf8")).toBe(kind);
  const [disk, again] = await Promise.all([found.disk(), found.disk()]);
  expect(again).toBe(disk);
  expect(statSync(disk).mode & 0o777).toBe(0o400);
  expect(tool("dump.erofs", "--path=/etc/word", disk).toString()).toContain(`Size: ${kind.length}`);
  expect(readdirSync(join(root.path, "images/.staging"))).toEqual([]);
  const seen = JSON.parse(tool("skopeo", "inspect", `oci:${root.path}/images:${image.name}`).toString());
  expect(seen).toMatchObject({ Digest: image.digest, Os: "linux", Architecture: "amd64", Env: ["A=b"] });
});

test("names: tag, list, lookup by digest and prefix, remove", async () => {
  using root = temporary();
  uses.clear();
  const images = room(root.path);
  const one = await images.import(project, parts(rootfs("one")), { name: "one" });
  const two = await images.import(project, parts(rootfs("two")), { name: "two:v2" });
  await images.tag(project, "one", "reg.example/x/one:a");
  expect((await images.resolve(project, one.digest)).digest).toBe(one.digest);
  expect((await images.resolve(project, one.digest.slice(7, 19))).digest).toBe(one.digest);
  expect((await images.resolve(project, `localhost/one@${one.digest}`)).digest).toBe(one.digest);
  expect((await images.byDigest(two.digest)).name).toBe("localhost/two:v2");
  expect((await images.list(project)).map(({ name }) => name)).toEqual([
    "localhost/one:latest",
    "localhost/two:v2",
    "reg.example/x/one:a",
  ]);
  expect(await images.list("other")).toEqual([]);
  for (const name of ["two", "nothing", one.digest.slice(7, 18), `two@${one.digest}`, "f".repeat(64)])
    expect((await refusal(images.resolve(project, name))).code).toBe("not_found");
  expect((await refusal(images.resolve(project, "two"))).message).toContain("there is localhost/two:v2");
  expect((await refusal(images.resolve(project, "Bad Name"))).code).toBe("invalid");
  expect((await refusal(images.resolve("other", "one"))).code).toBe("not_found");

  expect((await refusal(images.remove(project, one.digest, false))).code).toBe("conflict");
  expect(await images.remove(project, "one", false)).toEqual({
    untagged: ["localhost/one:latest"],
    deleted: [],
  });
  uses.set(one.digest, 1);
  expect((await refusal(images.remove(project, "reg.example/x/one:a", false))).code).toBe("conflict");
  expect((await images.list(project)).find(({ digest }) => digest === one.digest)?.instances).toBe(1);
  expect(await images.remove(project, "reg.example/x/one:a", true)).toEqual({
    untagged: ["reg.example/x/one:a"],
    deleted: [],
  });
  const kept = await images.byDigest(one.digest);
  expect((await kept.layers()).length).toBe(1);
  uses.clear();
  expect(await images.collect(new Set([one.digest]))).toBe(0);
  expect(await images.collect(new Set())).toBeGreaterThan(1000);
  expect((await refusal(images.byDigest(one.digest))).code).toBe("not_found");
  expect(await images.remove(project, "two:v2", false)).toEqual({
    untagged: ["localhost/two:v2"],
    deleted: [two.digest],
  });
  expect(files(root.path)).toEqual([]);
});

test("a lease holds an image until its undo ends, released or not", async () => {
  using root = temporary();
  const images = room(root.path);
  const image = await images.import(project, parts(rootfs("leased")), { name: "leased" });
  {
    await using undo = new Undo();
    images.lease(image, undo);
    await images.remove(project, "leased", false);
    expect(await images.collect(new Set())).toBe(0);
    expect((await (await images.byDigest(image.digest)).layers()).length).toBe(1);
    undo.release();
  }
  expect(await images.collect(new Set())).toBeGreaterThan(0);
  expect(files(root.path)).toEqual([]);
});

test("a digest prefix that fits two images is a conflict", async () => {
  using root = temporary();
  const images = room(root.path);
  const image = await images.import(project, parts(rootfs("x")), { name: "x" });
  const index = join(root.path, "images/index.json");
  const layout = JSON.parse(readFileSync(index, "utf8"));
  const twin = `${image.digest.slice(0, 19)}${"0".repeat(52)}`;
  layout.manifests.push({
    ...layout.manifests[0],
    digest: twin,
    annotations: { "dev.gantry.project": project },
  });
  writeFileSync(index, JSON.stringify(layout));
  const { code, message } = await refusal(images.resolve(project, image.digest.slice(7, 19)));
  expect(code).toBe("conflict");
  expect(message).toContain("several");
  expect((await images.resolve(project, image.digest.slice(7, 27))).digest).toBe(image.digest);
  expect((await refusal(images.collect(new Set()))).code).toBe("corrupt"); // the twin's needs cannot be known
  expect(files(root.path).length).toBe(4);
});

test("layers are shared, and go with their last image", async () => {
  using root = temporary();
  const images = room(root.path);
  const tar = rootfs("same");
  const a = await images.import(project, parts(tar), { name: "a", changes: ["CMD a"] });
  const b = await images.import(project, parts(tar), { name: "b", changes: ["CMD b"] });
  expect(a.digest).not.toBe(b.digest);
  expect(readdirSync(join(root.path, "layers")).length).toBe(1);
  const layer = (await (await images.resolve(project, "b")).layers())[0] as string;
  await images.remove(project, "a", false);
  expect(readFileSync(join(layer, "etc/word"), "utf8")).toBe("same");
  await images.remove(project, "b", false);
  expect(files(root.path)).toEqual([]);
});

test("many loads of the same and different images at once", async () => {
  using root = temporary();
  const images = room(root.path);
  const tars = ["p", "q", "r"].map((word) => rootfs(word));
  await Promise.all(
    [0, 1, 2, 0, 1, 2, 0].map((at, n) =>
      images.import(project, parts(tars[at] as Buffer, 777), { name: `n${n}` }),
    ),
  );
  const list = await images.list(project);
  expect(list.length).toBe(7);
  expect(readdirSync(join(root.path, "layers")).length).toBe(3);
  for (const { name } of list) {
    const image = await images.resolve(project, name as string);
    expect((await image.layers()).length).toBe(1);
  }
  const archive = await gather(await images.save(project, ["n0", "n1", "n2"], "oci-archive"));
  using other = temporary();
  const copy = room(other.path);
  const [x, y] = await Promise.all([
    copy.load(project, parts(archive)),
    copy.load(project, parts(archive, 999)),
  ]);
  expect(x.map(({ digest }) => digest)).toEqual(y.map(({ digest }) => digest));
  expect((await copy.list(project)).length).toBe(3);
});

test("copyOut fills a volume, and a missing path leaves it empty", async () => {
  using root = temporary();
  using volume = temporary();
  const images = room(root.path);
  await images.import(project, parts(rootfs("copied")), { name: "c" });
  const image = await images.resolve(project, "c");
  await images.copyOut(image, "/nothing/here", volume.path);
  expect(readdirSync(volume.path)).toEqual([]);
  await images.copyOut(image, "/data", volume.path);
  expect(readFileSync(join(volume.path, "file"), "utf8")).toBe("content of data");
  expect(statSync(join(volume.path, "file")).mode & 0o777).toBe(0o640);
});

test("bootstrap of busybox runs, and again gives the same image", async () => {
  const images = room(shared.path);
  const image = await images.bootstrap(project, { distribution: "busybox", include: [] });
  expect(image.name).toBe("localhost/busybox:latest");
  expect(image.config.config?.Cmd).toEqual(["sh"]);
  const tree = (await (await images.resolve(project, "busybox")).layers())[0] as string;
  const said = tool(
    "chroot",
    tree,
    "/bin/sh",
    "-c",
    "id -un; ls -d /tmp | wc -l; stat -c %a /tmp; env echo ok",
  );
  expect(said.toString()).toBe("root\n1\n1777\nok\n");
  const again = await images.bootstrap(project, { distribution: "busybox", include: [] });
  expect(again.digest).toBe(image.digest);
  expect((await images.list(project)).length).toBe(1);
});

test.each([
  ["alpine", "not known"],
  ["busybox:9", "no version"],
  ["debian:Book Worm", "malformed"],
  ["", "not known"],
])("bootstrap of %j is refused", async (distribution, why) => {
  const { code, message } = await refusal(
    room(shared.path).bootstrap(project, { distribution, include: [] }),
  );
  expect(code).toBe("invalid");
  expect(message).toContain(why);
});

test("archives that skopeo makes and reads", async () => {
  using folder = temporary();
  const root = join(folder.path, "root");
  const images = room(root);
  await images.bootstrap(project, { distribution: "busybox", include: [] });
  const mine = await images.resolve(project, "busybox");
  for (const format of ["oci-archive", "docker-archive"] as const) {
    // Ours to skopeo.
    const path = join(folder.path, `${format}.tar`);
    writeFileSync(path, await gather(await images.save(project, ["busybox"], format)));
    const name = format === "oci-archive" ? `${path}:localhost/busybox:latest` : path;
    const seen = JSON.parse(tool("skopeo", "inspect", "--config", `${format}:${name}`).toString());
    expect(seen.rootfs.diff_ids).toEqual(mine.config.rootfs.diff_ids);
    if (format === "docker-archive")
      expect(tool("skopeo", "list-tags", `docker-archive:${path}`).toString()).toContain(
        "localhost/busybox:latest",
      );
    // Skopeo's to us, from our store as it is.
    const theirs = join(folder.path, `theirs-${format}.tar`);
    const source = `oci:${root}/images:localhost/busybox:latest`;
    tool("skopeo", "copy", "-q", "--insecure-policy", source, `${format}:${theirs}:example.org/bb:1`);
    const other = room(join(folder.path, `other-${format}`));
    for (const archive of [path, theirs]) {
      const [image] = await other.load(project, file(archive));
      const found = await other.resolve(project, image?.name as string);
      expect(found.config.rootfs.diff_ids).toEqual(mine.config.rootfs.diff_ids);
      expect((await found.layers()).length).toBe(1);
      if (format === "oci-archive") expect(found.digest).toBe(mine.digest);
    }
    expect((await other.list(project)).map((one) => one.name)).toEqual([
      "localhost/busybox:latest",
      "example.org/bb:1",
    ]);
  }
});

test("gzip and zstd around an archive", async () => {
  const images = room(shared.path);
  await images.bootstrap(project, { distribution: "busybox", include: [] });
  const archive = new Uint8Array(await gather(await images.save(project, ["busybox"], "docker-archive")));
  for (const packed of [Bun.gzipSync(archive), Bun.zstdCompressSync(archive)]) {
    using root = temporary();
    const [image] = await room(root.path).load(project, parts(packed));
    expect(image?.name).toBe("localhost/busybox:latest");
  }
});

test("a damaged blob is found when it is used, and the image can be removed", async () => {
  using root = temporary();
  const images = room(root.path);
  const image = await images.import(project, parts(rootfs("rot")), { name: "rot" });
  const blob = join(root.path, "images/blobs/sha256", digestsOf(image)[0]!.slice(7));
  const bytes = readFileSync(blob);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1;
  writeFileSync(blob, bytes);
  rmSync(join(root.path, "layers"), { recursive: true });
  const fresh = room(root.path); // as after a restart
  const found = await fresh.resolve(project, "rot");
  expect((await refusal(found.layers())).code).toBe("corrupt");
  expect(readdirSync(join(root.path, "layers"))).toEqual([]);
  writeFileSync(join(root.path, "images/blobs/sha256", image.digest.slice(7)), "{}");
  const later = room(root.path);
  expect((await refusal(later.resolve(project, "rot"))).code).toBe("corrupt");
  expect((await later.list(project)).length).toBe(1);
  await later.remove(project, "rot", false);
  expect(files(root.path)).toEqual([]);
});

test("reconcile clears what a crash left", async () => {
  const root = mkdtempSync("/tmp/image-");
  try {
    const images = room(root);
    await images.import(project, parts(rootfs("kept")), { name: "kept" });
    const before = files(root);
    mkdirSync(join(root, "images/.staging/0123"), { recursive: true });
    writeFileSync(join(root, "images/.staging/0123/0"), "half");
    writeFileSync(join(root, "images/index.json.tmp-0123456789ab"), "{");
    mkdirSync(join(root, "layers/.tmp-01/fs"), { recursive: true });
    mkdirSync(join(root, "layers/.trash-01/fs"), { recursive: true });
    mkdirSync(join(root, "disks"), { recursive: true });
    writeFileSync(join(root, "disks/.tmp-01"), "half");
    const later = room(root);
    await later.reconcile();
    expect(files(root)).toEqual(before);
    expect(readdirSync(join(root, "images")).sort()).toEqual(["blobs", "index.json", "oci-layout"]);
    expect((await (await later.resolve(project, "kept")).layers()).length).toBe(1);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
