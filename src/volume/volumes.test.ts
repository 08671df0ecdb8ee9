import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Volumes } from "../ports/volume.ts";
import { createVolumes } from "./index.ts";

let root: string;
let volumes: Volumes;
beforeEach(() => {
  root = mkdtempSync("/tmp/volumes-test-");
  volumes = createVolumes({ paths: { root } });
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

test("a named volume is a folder under the root that comes back the same", async () => {
  const made = await volumes.create("default", "data", { tier: "gold" });
  expect(made).toMatchObject({
    project: "default",
    name: "data",
    anonymous: false,
    labels: { tier: "gold" },
  });
  expect(made.path).toBe(join(root, "volumes/default/data/_data"));
  expect(statSync(made.path).mode & 0o777).toBe(0o755);
  expect(await volumes.get("default", "data")).toEqual(made);
  expect(await createVolumes({ paths: { root } }).list("default")).toEqual([made]);
  expect(await volumes.get("other", "data")).toBeUndefined();
  expect(await volumes.list("other")).toEqual([]);
});

test("creating the same again gives it back, with other labels it is refused", async () => {
  const made = await volumes.create("default", "data", { a: "1" });
  expect(await volumes.create("default", "data", { a: "1" })).toEqual(made);
  expect(await volumes.create("default", "data", {})).toEqual(made);
  await expect(volumes.create("default", "data", { a: "2" })).rejects.toMatchObject({ code: "exists" });
});

test("creating one volume many times at once makes one", async () => {
  const made = await Promise.all(Array.from({ length: 8 }, () => volumes.create("default", "data", {})));
  expect(new Set(made.map((one) => one.createdAt)).size).toBe(1);
});

test("without a name it is anonymous and has a 64-digit id", async () => {
  const made = await volumes.create("default", undefined, {});
  expect(made.name).toMatch(/^[0-9a-f]{64}$/);
  expect(made.anonymous).toBe(true);
});

for (const name of ["..", "../x", "a/b", "", ".hidden", "-x", "a\0b", "x".repeat(129)])
  test(`the name ${JSON.stringify(name.slice(0, 20))} is refused by every verb`, async () => {
    for (const call of [
      () => volumes.create("default", name, {}),
      () => volumes.create(name, "data", {}),
      () => volumes.get("default", name),
      () => volumes.list(name),
      () => volumes.remove("default", name),
    ])
      await expect((async () => call())()).rejects.toMatchObject({ code: "invalid" });
    expect(existsSync(join(root, "volumes"))).toBe(false);
  });

test("removing twice is no error and leaves nothing", async () => {
  const made = await volumes.create("default", "data", {});
  writeFileSync(join(made.path, "file"), "x");
  await volumes.remove("default", "data");
  await volumes.remove("default", "data");
  expect(await volumes.get("default", "data")).toBeUndefined();
  await volumes.reconcile();
  expect(readdirSync(join(root, "volumes"))).toEqual(["default"]);
  expect(readdirSync(join(root, "volumes/default"))).toEqual([]);
});

test("removal follows no symbolic link out of the volume", async () => {
  const outside = join(root, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "precious"), "kept");
  const made = await volumes.create("default", "data", {});
  symlinkSync(outside, join(made.path, "folder"));
  symlinkSync(join(outside, "precious"), join(made.path, "file"));
  await volumes.remove("default", "data");
  expect(readFileSync(join(outside, "precious"), "utf8")).toBe("kept");
});

test("a volume that was replaced by a link is removed as the link", async () => {
  const outside = join(root, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "precious"), "kept");
  await volumes.create("default", "data", {});
  rmSync(join(root, "volumes/default/data"), { recursive: true });
  symlinkSync(outside, join(root, "volumes/default/data"));
  await volumes.remove("default", "data");
  expect(existsSync(join(root, "volumes/default/data"))).toBe(false);
  expect(readFileSync(join(outside, "precious"), "utf8")).toBe("kept");
});

test("it is filled once", async () => {
  const made = await volumes.create("default", "data", {});
  expect(await volumes.needsFill(made)).toBe(true);
  expect(await volumes.needsFill(made)).toBe(true); // asked again before it is done
  await volumes.markFilled(made);
  expect(await volumes.needsFill(made)).toBe(false);
  expect(await createVolumes({ paths: { root } }).needsFill(made)).toBe(false);
});

test("a volume with content of its own is never filled", async () => {
  const made = await volumes.create("default", "data", {});
  writeFileSync(join(made.path, "mine"), "x");
  expect(await volumes.needsFill(made)).toBe(false);
  rmSync(join(made.path, "mine"));
  expect(await volumes.needsFill(made)).toBe(false);
});

test("after a crash amid filling it is empty again and filled anew", async () => {
  const made = await volumes.create("default", "data", {});
  expect(await volumes.needsFill(made)).toBe(true);
  writeFileSync(join(made.path, "half"), "x");
  const next = createVolumes({ paths: { root } });
  await next.reconcile();
  expect(readdirSync(made.path)).toEqual([]);
  expect(statSync(made.path).mode & 0o777).toBe(0o755);
  expect(await next.needsFill(made)).toBe(true);
});

test("marking a removed volume as filled says that it is gone", async () => {
  const made = await volumes.create("default", "data", {});
  await volumes.remove("default", "data");
  expect(await volumes.needsFill(made)).toBe(false);
  await expect(volumes.markFilled(made)).rejects.toMatchObject({ code: "not_found" });
});

test("reconcile clears half-made volumes and the trash, and keeps the rest", async () => {
  const made = await volumes.create("default", "data", {});
  await volumes.needsFill(made);
  await volumes.markFilled(made);
  writeFileSync(join(made.path, "file"), "x");
  mkdirSync(join(root, "volumes/default/half/_data"), { recursive: true });
  mkdirSync(join(root, "volumes/.trash/old/_data"), { recursive: true });
  await volumes.reconcile();
  expect(readdirSync(join(root, "volumes"))).toEqual(["default"]);
  expect(readdirSync(join(root, "volumes/default"))).toEqual(["data"]);
  expect(readdirSync(made.path)).toEqual(["file"]);
});

test("a broken description is reported, not taken for a missing volume", async () => {
  const made = await volumes.create("default", "data", {});
  writeFileSync(join(root, "volumes/default/data/meta.json"), "{");
  await expect(volumes.get("default", "data")).rejects.toMatchObject({ code: "corrupt" });
  await volumes.reconcile();
  expect(existsSync(made.path)).toBe(true);
  await volumes.remove("default", "data");
  expect(await volumes.list("default")).toEqual([]);
});
