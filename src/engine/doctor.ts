import { existsSync, readFileSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { join } from "node:path";
import { exec } from "../lib/exec.ts";
import type { DoctorFinding } from "../ports/engine.ts";
import type { Context } from "./context.ts";
import { failpointBuild } from "./failpoint.ts";
import { cgroupKind } from "./host.ts";

type Check = (context: Context) => Promise<DoctorFinding | DoctorFinding[]>;
const ok = (check: string, message: string): DoctorFinding => ({ check, status: "ok", message });
const setup = "run ./scripts/setup, which installs it";

const root: Check = async () =>
  process.getuid?.() === 0
    ? ok("root", "the engine runs as root")
    : {
        check: "root",
        status: "problem",
        message: `the engine runs as uid ${process.getuid?.()}`,
        advice: "start it with sudo",
      };

/** What each program is for, and how it tells its version. */
const tools: [program: string, use: string, ...version: string[]][] = [
  ["nft", "the network's rules", "--version"],
  ["ip", "links and addresses", "-Version"],
  ["mkfs.erofs", "VM images", "-V"],
  ["mkfs.ext4", "VM writable layers", "-V"],
  ["qemu-system-x86_64", "VMs", "--version"],
  ["zstd", "compressed archives", "--version"],
  ["tar", "archives", "--version"],
  ["mmdebstrap", "gantry image bootstrap debian", "--version"],
];

const programs: Check = async () =>
  await Promise.all(
    tools.map(async ([program, use, ...version]): Promise<DoctorFinding> => {
      try {
        const { stdout, stderr } = await exec([program, ...version], { timeout: 5000, ok: [0, 1] });
        return ok(program, `${firstLine(stdout || stderr)} (${use})`);
      } catch (error) {
        return {
          check: program,
          status: program === "mmdebstrap" ? "warning" : "problem",
          message: `${(error as Error).message.split(";")[0]}; it is needed for ${use}`,
          advice: setup,
        };
      }
    }),
  );

const cgroups: Check = async () => {
  const kind = cgroupKind();
  if (kind === "hybrid")
    return ok(
      "cgroups",
      "v1 with v2 beside it (hybrid): containers get a mount namespace without the v2 part",
    );
  return ok("cgroups", `${kind} hierarchy`);
};

const overlay: Check = async () =>
  /\boverlay$/m.test(readFileSync("/proc/filesystems", "utf8"))
    ? ok("overlay", "the kernel has overlayfs")
    : {
        check: "overlay",
        status: "problem",
        message: "the kernel has no overlayfs, which containers need",
        advice: "modprobe overlay, or use --isolation vm",
      };

const walls: Check = async (context) =>
  await Promise.all(
    Object.values(context.backends).map(async (backend): Promise<DoctorFinding> => {
      const facts = await backend.facts();
      const emulated = facts.accelerator === "tcg";
      return {
        check: `isolation ${facts.isolation}`,
        status: !facts.usable ? "problem" : emulated ? "warning" : "ok",
        message: facts.summary,
        ...(facts.advice.length > 0 && { advice: facts.advice.join("; ") }),
      };
    }),
  );

const space: Check = async (context) => {
  const { bavail, bsize, blocks } = await statfs(context.paths.root);
  const free = (bavail * bsize) / 2 ** 30;
  const message = `${free.toFixed(1)} GiB free of ${((blocks * bsize) / 2 ** 30).toFixed(1)} under ${context.paths.root}`;
  if (free >= 2) return ok("disk space", message);
  return {
    check: "disk space",
    status: free < 0.2 ? "problem" : "warning",
    message,
    advice: "remove unused instances, images and volumes, or move the root with --root",
  };
};

const forwarding: Check = async () =>
  read("/proc/sys/net/ipv4/ip_forward") === "1"
    ? ok("ip_forward", "the host forwards IPv4")
    : {
        check: "ip_forward",
        status: "warning",
        message: "the host does not forward IPv4; instances reach nothing beyond it",
        advice: "sysctl net.ipv4.ip_forward=1 (the engine sets it when it makes its bridge)",
      };

const names: Check = async () => {
  const servers = read("/etc/resolv.conf").match(/^nameserver\s+\S+/gm) ?? [];
  return servers.length > 0
    ? ok("dns", `the host asks ${servers.map((line) => line.split(/\s+/)[1]).join(", ")}`)
    : {
        check: "dns",
        status: "warning",
        message: "/etc/resolv.conf names no server; instances resolve each other only",
        advice: "put a nameserver line into /etc/resolv.conf",
      };
};

const docker: Check = async () => {
  if (!existsSync("/var/run/docker.sock")) return ok("docker", "no Docker beside us");
  return ok(
    "docker",
    "Docker is beside us; one marked rule in its DOCKER-USER chain lets our traffic through",
  );
};

const guest: Check = async (context) =>
  existsSync(join(context.paths.libexec, "guest", "manifest.json"))
    ? ok("guest kernel", `in ${join(context.paths.libexec, "guest")}`)
    : {
        check: "guest kernel",
        status: "problem",
        message: `no guest kernel in ${join(context.paths.libexec, "guest")}; VMs cannot start`,
        advice: "run ./scripts/build",
      };

const build: Check = async () =>
  failpointBuild()
    ? {
        check: "build",
        status: "warning",
        message: "this build has failpoints: it can be told to crash",
        advice: "use it for tests only",
      }
    : ok("build", "release build, without failpoints");

const database: Check = async (context) => {
  const found = context.checkState?.() ?? "ok";
  return found === "ok"
    ? ok("state", "the database is sound")
    : {
        check: "state",
        status: "problem",
        message: `the database is damaged: ${found}`,
        advice: `stop the engine and restore ${join(context.paths.root, "state.db")} from a backup`,
      };
};

const broken: Check = async (context) => {
  const names = context.state.instances
    .all()
    .filter((record) => record.state === "broken")
    .map((record) => record.name);
  return names.length === 0
    ? ok("instances", "none is broken")
    : {
        check: "instances",
        status: "problem",
        message: `broken: ${names.join(", ")}`,
        advice: `see why by \`gantry inspect\`, clear by \`gantry rm -f ${names.join(" ")}\``,
      };
};

const checks: Check[] = [
  root,
  programs,
  cgroups,
  overlay,
  walls,
  space,
  forwarding,
  names,
  docker,
  guest,
  build,
  database,
  broken,
];

/** See ports/engine.ts. A check that fails itself is a finding too. */
export async function doctor(context: Context): Promise<DoctorFinding[]> {
  const found = await Promise.all(
    checks.map((check) =>
      check(context).catch(
        (error: Error): DoctorFinding => ({
          check: "doctor",
          status: "problem",
          message: `a check could not be made: ${error.message}`,
          advice: "see the engine's log",
        }),
      ),
    ),
  );
  return found.flat();
}

const firstLine = (text: string): string => text.trim().split("\n")[0]?.slice(0, 120) ?? "";

function read(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}
