import { afterAll, beforeAll, expect, test } from "bun:test";
import { release } from "node:os";
import { TestEngine } from "../lib/engine.ts";
import type { Snapshot } from "../lib/oracle.ts";

// The least that must work, in seconds: one image behind both walls.
const engine = new TestEngine();
let before: Snapshot;
beforeAll(async () => {
  await engine.ok("image", "bootstrap", "busybox"); // starts the daemon by itself
  for (const wall of ["container", "vm"])
    await engine.ok("run", "--rm", "--isolation", wall, "busybox", "true");
  before = engine.baseline();
}, 120_000);
afterAll(async () => {
  await engine.cli("daemon", "--stop");
  await engine[Symbol.asyncDispose]();
}, 60_000);

for (const wall of ["container", "vm"]) {
  test(`${wall}: run, exec, logs, rm`, async () => {
    expect(
      (await engine.cli("run", "--rm", "--isolation", wall, "busybox", "sh", "-c", "exit 3")).status,
    ).toBe(3);
    const kernel = await engine.ok("run", "--rm", "--isolation", wall, "busybox", "uname", "-r");
    expect(kernel === release()).toBe(wall === "container");
    const name = `light-${wall}`;
    await engine.ok(
      "run",
      "-d",
      "--isolation",
      wall,
      "--name",
      name,
      "busybox",
      "sh",
      "-c",
      "echo hello; sleep 300",
    );
    expect(await engine.ok("exec", name, "cat", "/etc/hostname")).toBe(
      (await engine.ok("inspect", "--format", "{{.Id}}", name)).slice(0, 12),
    );
    expect(await engine.ok("logs", name)).toBe("hello");
    const row = (await engine.ok("ps")).split("\n").find((line) => line.includes(name))!;
    if (wall === "vm" && (await engine.ok("info")).includes("emulation")) expect(row).toContain("emulated");
    await engine.ok("rm", "-f", name);
    expect(await engine.leaks(before)).toEqual([]);
  }, 60_000);
}
