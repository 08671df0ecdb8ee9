import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { release } from "node:os";
import { join, resolve } from "node:path";

// A machine that has only apt, and one that has Debian's Node already: the two commands of the README work on both.
const machine = resolve(import.meta.dir, "machine");
const base = mkdtempSync("/var/tmp/gantry-fresh-");
afterAll(() => rmSync(base, { recursive: true, force: true }));

function on(tree: string, include: readonly string[], ...command: string[]) {
  const began = performance.now();
  const result = Bun.spawnSync([machine, ...include, join(base, tree), ...command], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const stdout = result.stdout.toString();
  const stderr = result.stderr.toString();
  const seconds = (performance.now() - began) / 1000;
  console.log(`${tree}: ${command.join(" ")}: ${seconds.toFixed(1)} s`);
  if (result.exitCode !== 0) console.error(stdout.slice(-4000), stderr.slice(-4000));
  return { status: result.exitCode, stdout, stderr, seconds };
}

/** What machines could leave behind on this one. */
const traces = (): string[] =>
  ["/sys/fs/cgroup", ...readdirSync("/sys/fs/cgroup").map((name) => join("/sys/fs/cgroup", name))]
    .filter((folder) => existsSync(join(folder, "cgroup.procs")))
    .flatMap((folder) => readdirSync(folder).filter((name) => name.startsWith("gantry-machine-")))
    .concat(readdirSync("/tmp").filter((name) => name.startsWith("gantry-machine-")))
    .concat(
      Bun.spawnSync(["findmnt", "-rno", "TARGET"])
        .stdout.toString()
        .split("\n")
        .filter((target) => target.startsWith(base)),
    );

for (const [name, include] of [
  ["apt-only", []],
  ["with-node", ["--with", "nodejs,npm"]],
] as const) {
  test(`${name}: scripts/demo sets up and shows both walls`, () => {
    const { status, stdout, stderr } = on(name, include, "./scripts/demo");
    expect(status).toBe(0);
    const announced = /^setup: installing Debian packages: (.*)$/m.exec(stderr)?.[1]?.split(" ") ?? [];
    expect(announced).toContain("qemu-system-x86");
    // Node that is there is used, not replaced.
    expect(announced.includes("nodejs")).toBe(name === "apt-only");
    const kernels = [...stdout.matchAll(/^(container|vm) +kernel (\S+) /gm)];
    expect(kernels.map(([, wall]) => wall)).toEqual(["container", "vm"]);
    expect(kernels[0]![2]).toBe(release());
    expect(kernels[1]![2]).not.toBe(release());
    expect(stdout).toMatch(/first run +\d+ ms.*accelerator: (KVM|software emulation)$/m);
  }, 1_800_000);

  test(`${name}: set-up again installs nothing, needs no network and takes no second`, () => {
    const { status, stderr } = on(
      name,
      include,
      ...["unshare", "--net", "bash", "-c"],
      "scripts/setup && began=${EPOCHREALTIME/./} && scripts/setup && [ $((${EPOCHREALTIME/./} - began)) -lt 1000000 ]",
    );
    expect(stderr).toBe("");
    expect(status).toBe(0);
  }, 60_000);

  test(`${name}: scripts/demo a second time installs nothing`, () => {
    const { status, stderr } = on(name, include, "./scripts/demo");
    expect(status).toBe(0);
    expect(stderr).not.toContain("installing");
  }, 600_000);

  test(`${name}: scripts/test --fast passes, in less than three minutes`, () => {
    expect(on(name, include, "scripts/setup", "--tests").status).toBe(0);
    const { status, stdout, seconds } = on(name, include, "./scripts/test", "--fast");
    expect(stdout.trim().split("\n").at(-1)).toMatch(/^[1-9]\d* passed, 0 failed/);
    expect(status).toBe(0);
    expect(seconds).toBeLessThan(180);
  }, 1_800_000);

  test(`${name}: nothing of the machine is left here`, () => {
    expect(traces()).toEqual([]);
  });
}
