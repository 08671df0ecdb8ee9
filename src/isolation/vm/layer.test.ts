import { afterAll, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { resolvePaths } from "../../lib/paths.ts";
import { createLayer, layerFile, removeLayer, smallestLayer } from "./layer.ts";

const folder = mkdtempSync("/tmp/gantry-layer-");
const paths = resolvePaths({ root: folder, run: join(folder, "run") }, {});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const debugfs = (file: string, command: string) =>
  execFileSync("debugfs", ["-R", command, file], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });

test("a layer is a sparse, sound ext4 with upper and work; the second of a size comes from the template", async () => {
  for (const [id, size] of [
    ["one", 10 * 1024 ** 3],
    ["two", 10 * 1024 ** 3],
    ["small", smallestLayer],
  ] as const) {
    await createLayer(paths, id, size);
    const file = layerFile(paths, id);
    const facts = statSync(file);
    expect(facts.size).toBe(size);
    expect(facts.blocks * 512).toBeLessThan(8 << 20);
    expect(facts.mode & 0o777).toBe(0o600);
    execFileSync("e2fsck", ["-fn", file], { stdio: "ignore" });
    expect(debugfs(file, "stat upper")).toContain("Mode:  0755");
    expect(debugfs(file, "stat work")).toContain("User:     0   Group:     0");
  }
});

test("an existing layer is never touched; removing is idempotent and leaves nothing half made", async () => {
  await createLayer(paths, "kept", smallestLayer);
  const file = layerFile(paths, "kept");
  writeFileSync(file, "the guest's");
  await createLayer(paths, "kept", smallestLayer);
  expect(statSync(file).size).toBe(11);
  await removeLayer(paths, "kept");
  await removeLayer(paths, "kept");
  expect(existsSync(file)).toBe(false);
});
