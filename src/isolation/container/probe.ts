import { randomBytes } from "node:crypto";
import { access, constants, copyFile, mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { type CgroupMode, cgroupMode, removeCgroup } from "../../lib/cgroup.ts";
import { exec } from "../../lib/exec.ts";
import type { Paths } from "../../lib/paths.ts";
import { GantryError } from "../../model/errors.ts";
import type { RuntimeSpec } from "../../model/oci.ts";
import type { Supervisors, WorkloadSpec } from "../../ports/supervisor.ts";

/** A runtime that was seen to run a container here. */
export interface Runtime {
  name: "crun" | "runc";
  program: string;
  version: string;
  /** The v2 hierarchy of a hybrid host is hidden from it. */
  hideUnified: boolean;
}

export interface Probed {
  cgroup: CgroupMode;
  /** Undefined when none works. */
  runtime?: Runtime;
  /** Why a runtime was not taken, each with its name. */
  problem?: string;
}

const folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** Finds what runs containers by running one: crun first, for its speed, then runc. */
export async function probe(paths: Paths, supervisors: Supervisors): Promise<Probed> {
  const cgroup = await cgroupMode();
  const problems: string[] = [];
  for (const name of ["crun", "runc"] as const) {
    try {
      const program = await find(name);
      const version = versionOf((await exec([program, "--version"])).stdout);
      const runtime = { name, program, version, hideUnified: name === "crun" && cgroup === "hybrid" };
      await runOne(paths, supervisors, runtime);
      return { cgroup, runtime, ...(problems.length > 0 && { problem: problems.join("; ") }) };
    } catch (error) {
      problems.push(`${name}: ${(error as Error).message}`);
    }
  }
  return { cgroup, problem: problems.join("; ") };
}

async function find(name: string): Promise<string> {
  for (const folder of folders) {
    const program = join(folder, name);
    const found = await access(program, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return program;
  }
  throw new GantryError("unavailable", "not installed; run ./scripts/setup");
}

const versionOf = (text: string): string => /version (\S+)/.exec(text)?.[1] ?? "of unknown version";

/** Runs the supervisor program itself (it is static) in a container with overlay and cgroup, and reads its log. */
async function runOne(paths: Paths, supervisors: Supervisors, runtime: Runtime): Promise<void> {
  const id = `probe-${randomBytes(6).toString("hex")}`;
  const work = join(paths.root, "instances", id);
  const folder = join(paths.run, "sandboxes", id);
  const cgroupsPath = `/gantry/${paths.tag}/${id}`;
  try {
    for (const name of ["lower", "upper", "work"])
      await mkdir(join(work, name), { recursive: true, mode: 0o700 });
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await copyFile(supervisors.program, join(work, "lower", "program"));
    const { program, hideUnified } = runtime;
    const config = { id, folder, runtime: program, hideUnified };
    const supervisor = await supervisors.open("container", folder, config, 20_000);
    const ended = supervisor.closed;
    await supervisor.start(workload(id, work, join(folder, "rootfs"), cgroupsPath));
    await ended;
    const exit = JSON.parse(await readFile(join(work, "exit.json"), "utf8"));
    const log = await readFile(join(work, "log.json"), "utf8");
    if (exit.exitCode !== 0 || !log.includes("gantry-supervisor"))
      throw new GantryError("unavailable", `the probe's container ended with status ${exit.exitCode}`);
  } finally {
    await supervisors.connect(folder).then((left) => left?.shutdown(1000));
    await removeCgroup(cgroupsPath);
    await rm(folder, { recursive: true, force: true });
    await rm(work, { recursive: true, force: true });
  }
}

function workload(id: string, work: string, target: string, cgroupsPath: string): WorkloadSpec {
  const none = { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] };
  const oci: RuntimeSpec = {
    ociVersion: "1.0.2",
    hostname: "probe",
    root: { path: "", readonly: true },
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: ["/program", "--version"],
      env: [],
      cwd: "/",
      capabilities: none,
      noNewPrivileges: true,
    },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "size=64k", "mode=755"] },
    ],
    linux: {
      namespaces: ["pid", "network", "ipc", "uts", "mount"].map((type) => ({ type })),
      resources: {
        memory: { limit: 64 << 20 },
        pids: { limit: 16 },
        devices: [{ allow: false, access: "rwm" }],
      },
      cgroupsPath,
      maskedPaths: [],
      readonlyPaths: [],
    },
  };
  return {
    id,
    generation: 1,
    oci,
    user: "",
    rootfs: {
      kind: "overlay",
      lower: [join(work, "lower")],
      upper: join(work, "upper"),
      work: join(work, "work"),
      target,
    },
    files: [],
    openStdin: false,
    stdinOnce: false,
    log: { path: join(work, "log.json"), maxSize: 1 << 20, maxFiles: 1 },
    exitFile: join(work, "exit.json"),
  };
}
