// Start to exit of `true`, interleaved: each round runs every row once, so that the machine's moods hit all alike.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, release, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { docker, type Peer, podman } from "./peers.ts";
import { median, spread } from "./statistics.ts";

interface Row {
  name: string;
  argv: string[];
  env?: Record<string, string>;
  samples: number[];
}

const { values: flags } = parseArgs({
  options: {
    runs: { type: "string", default: "15" },
    json: { type: "string" },
    peers: { type: "string", default: "docker,podman,qemu" },
    only: { type: "string" },
  },
});
const rounds = Number(flags.runs);
if (!Number.isInteger(rounds) || rounds < 1)
  throw new Error(`--runs ${flags.runs} is not a positive whole number`);
const peers = new Set(flags.peers!.split(","));
const repository = resolve(import.meta.dir, "..");
const gantry = join(repository, "build/gantry");
const base = mkdtempSync(join(tmpdir(), "gantry-bench-"));
const engineEnv = { GANTRY_ROOT: join(base, "root"), GANTRY_RUN: join(base, "run") };

/** Runs to the end; throws with its message when it fails, so that a broken row is never a fast one. */
function run(argv: string[], env?: Record<string, string>): { ms: number; stdout: string } {
  const began = performance.now();
  const { status, stdout, stderr, error } = spawnSync(argv[0]!, argv.slice(1), {
    env: { ...process.env, ...env },
    encoding: "utf8",
  });
  const ms = performance.now() - began;
  if (error) throw error;
  if (status !== 0) throw new Error(`${argv.join(" ")} ended with ${status}: ${stderr.trim().slice(-400)}`);
  return { ms, stdout };
}
const ours = (...args: string[]) => run([gantry, ...args], engineEnv).stdout.trim();

/** Milliseconds of each step of the last start of `name`, from the engine's own record. */
function phases(...args: string[]): Record<string, number> {
  const id = ours("run", "-d", ...args, "busybox", "true");
  ours("wait", id);
  const found = JSON.parse(ours("inspect", id))[0].StartPhases as Record<string, number>;
  ours("rm", id);
  return found;
}

async function main(): Promise<void> {
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rmSync(base, { recursive: true, force: true }));
  const daemon = (flag: string) =>
    spawnSync(gantry, ["daemon", flag], { env: { ...process.env, ...engineEnv } });
  stack.defer(() => void daemon("--clean-up"));
  stack.defer(() => void daemon("--stop"));

  ours("image", "bootstrap", "busybox");
  const archive = join(base, "busybox.tar");
  ours("save", "--format", "docker-archive", "-o", archive, "busybox");
  const others: Peer[] = [];
  if (peers.has("docker")) others.push(stack.use(await docker(base)));
  if (peers.has("podman")) others.push(stack.use(podman(base)));
  for (const peer of others) peer.load(archive);

  const rows: Row[] = [];
  const add = (name: string, argv: string[], env?: Record<string, string>) => {
    if (!flags.only || flags.only.split(",").some((part) => name.includes(part)))
      rows.push({ name, argv, env, samples: [] });
  };
  for (const peer of others)
    for (const network of ["nat", "none"] as const)
      add(`${peer.name} run, ${network}`, peer.command(network), peer.env);
  for (const network of ["nat", "none"] as const) {
    add(
      `gantry run, ${network}`,
      [gantry, "run", "--rm", "--network", network, "busybox", "true"],
      engineEnv,
    );
    add(
      `gantry run --vm, ${network}`,
      [gantry, "run", "--rm", "--vm", "--network", network, "busybox", "true"],
      engineEnv,
    );
  }
  if (peers.has("qemu")) add("bare QEMU", [join(repository, "bench/bare-qemu")]);

  for (const row of rows) run(row.argv, row.env); // once before: what is made at first use, and warm daemons
  for (let round = 0; round < rounds; round++) {
    process.stderr.write(`\rround ${round + 1} of ${rounds}`);
    for (const row of rows) row.samples.push(run(row.argv, row.env).ms);
  }
  process.stderr.write("\n");

  const of = (name: string) => rows.find((row) => row.name === name)?.samples;
  /** Median of the pairwise ratios, round by round. */
  const ratio = (a: string, b: string) => {
    const [left, right] = [of(a), of(b)];
    return left && right ? median(left.map((value, at) => value / right[at]!)) : undefined;
  };
  const result = {
    date: new Date().toISOString(),
    machine: { cpu: cpus()[0]?.model, cpus: cpus().length, kernel: release() },
    versions: Object.fromEntries(others.map(({ name, version }) => [name, version])),
    info: JSON.parse(ours("info", "--json")),
    rows: rows.map(({ name, samples }) => ({ name, ...spread(samples), samples })),
    ratios: {
      "container, NAT: gantry / docker": ratio("gantry run, nat", "docker run, nat"),
      "container, no network: gantry / docker": ratio("gantry run, none", "docker run, none"),
      "VM: gantry --vm / bare QEMU": ratio("gantry run --vm, none", "bare QEMU"),
      "VM, NAT: gantry --vm / bare QEMU": ratio("gantry run --vm, nat", "bare QEMU"),
      "VM against container: gantry --vm / docker": ratio("gantry run --vm, nat", "docker run, nat"),
    },
    phases: { container: phases(), vm: phases("--vm") },
  };

  console.log(`start to exit of true, ms, ${rounds} interleaved rounds, daemons warm\n`);
  console.log(`| what | median | min | max | MAD |\n|---|---|---|---|---|`);
  for (const row of result.rows)
    console.log(
      `| ${row.name} | ${row.median.toFixed(0)} | ${row.min.toFixed(0)} | ${row.max.toFixed(0)} | ${row.mad.toFixed(0)} |`,
    );
  console.log("\n| ratio (median of the rounds' ratios) | |\n|---|---|");
  for (const [name, value] of Object.entries(result.ratios))
    if (value !== undefined) console.log(`| ${name} | ${value.toFixed(2)} |`);
  console.log("\n| phases of our start, ms | container | vm |\n|---|---|---|");
  for (const step of new Set([...Object.keys(result.phases.container), ...Object.keys(result.phases.vm)]))
    console.log(
      `| ${step} | ${result.phases.container[step]?.toFixed(1) ?? ""} | ${result.phases.vm[step]?.toFixed(1) ?? ""} |`,
    );
  if (flags.json) writeFileSync(flags.json, `${JSON.stringify(result, null, 2)}\n`);
}

await main();
