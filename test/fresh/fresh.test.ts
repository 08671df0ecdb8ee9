import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";

// A machine that has only apt, and one that has Debian's Node already: the two commands of the README work on both.
const machine = resolve(import.meta.dir, "machine");
const base = mkdtempSync("/var/tmp/gantry-fresh-");
afterAll(() => rmSync(base, { recursive: true, force: true }));

const on = (tree: string, include: string[], ...command: string[]) => {
  const result = Bun.spawnSync([machine, ...include, join(base, tree), ...command], {
    stdout: "pipe",
    stderr: "inherit",
  });
  return { status: result.exitCode, stdout: result.stdout.toString() };
};

for (const [name, include] of [
  ["apt-only", []],
  ["with-node", ["--with", "nodejs,npm"]],
] as const) {
  test(`${name}: scripts/demo shows both walls`, () => {
    const { status, stdout } = on(name, [...include], "./scripts/demo");
    expect(status).toBe(0);
    const kernels = [...stdout.matchAll(/^(container|vm) +kernel (\S+) /gm)].map(([, wall, kernel]) => [
      wall,
      kernel,
    ]);
    expect(kernels.map(([wall]) => wall)).toEqual(["container", "vm"]);
    expect(kernels[0]![1]).toBe(Bun.spawnSync(["uname", "-r"]).stdout.toString().trim());
    expect(kernels[1]![1]).not.toBe(kernels[0]![1]);
    expect(stdout).toMatch(/accelerator: \S+/);
  }, 1_800_000);

  test(`${name}: scripts/demo a second time installs nothing`, () => {
    const { status, stdout } = on(name, [...include], "./scripts/demo");
    expect(status).toBe(0);
    expect(stdout).not.toContain("installing Debian packages");
  }, 1_800_000);

  test(`${name}: scripts/test --fast passes`, () => {
    const { status, stdout } = on(name, [...include], "./scripts/test", "--fast");
    expect(stdout.trim().split("\n").at(-1)).toMatch(/^\d+ passed, 0 failed/);
    expect(status).toBe(0);
  }, 1_800_000);
}
