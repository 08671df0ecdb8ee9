import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Something that can run `true` in the busybox image, and leaves nothing behind. */
export interface Peer extends AsyncDisposable {
  name: string;
  version: string;
  /** Loads a docker-archive. */
  load(archive: string): void;
  /** The whole command line of one run. */
  command(network: "nat" | "none"): string[];
  env?: Record<string, string>;
}

const output = (argv: string[], env?: Record<string, string>): string =>
  execFileSync(argv[0]!, argv.slice(1), {
    encoding: "utf8",
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });

/** Remembers the packet filter; the function it returns takes back what a peer put there. */
function rememberRules(): () => void {
  const tables = () => output(["nft", "list", "tables"]).split("\n").filter(Boolean);
  const before = tables();
  const rules = before.length > 0 ? output(["iptables-save"]) : "";
  return () => {
    for (const table of tables())
      if (!before.includes(table) && !table.includes("gantry_"))
        output(["nft", "delete", ...table.split(" ")]);
    if (rules !== "") execFileSync("iptables-restore", { input: rules });
  };
}

function unmountBelow(folder: string): void {
  for (const line of readFileSync("/proc/self/mounts", "utf8").split("\n").reverse()) {
    const target = line.split(" ")[1];
    if (target?.startsWith(`${folder}/`)) execFileSync("umount", ["-l", target]);
  }
}

function deleteLinks(...names: string[]): void {
  for (const name of names) if (existsSync(`/sys/class/net/${name}`)) output(["ip", "link", "del", name]);
}

/** Debian's dockerd with its data under `base`; its bridge, rules and sysctls are taken back at the end. */
export async function docker(base: string): Promise<Peer> {
  const folder = join(base, "docker");
  mkdirSync(folder, { recursive: true });
  const restoreRules = rememberRules();
  const socket = join(folder, "docker.sock");
  const daemon = spawn(
    "dockerd",
    [
      "--data-root",
      join(folder, "data"),
      "--exec-root",
      join(folder, "exec"),
      "--pidfile",
      join(folder, "pid"),
      "-H",
      `unix://${socket}`,
    ],
    { stdio: "ignore", detached: true },
  );
  const env = { DOCKER_HOST: `unix://${socket}` };
  const until = Date.now() + 30_000;
  for (;;) {
    try {
      output(["docker", "version"], env);
      break;
    } catch {
      if (Date.now() > until || daemon.exitCode !== null) throw new Error("dockerd did not come up");
      await Bun.sleep(200);
    }
  }
  return {
    name: "docker",
    version: output(["docker", "version", "--format", "{{.Server.Version}}"], env).trim(),
    env,
    load: (archive) => void output(["docker", "load", "-q", "-i", archive], env),
    command: (network) => [
      "docker",
      "run",
      "--rm",
      ...(network === "none" ? ["--network", "none"] : []),
      "localhost/busybox:latest",
      "true",
    ],
    async [Symbol.asyncDispose]() {
      const gone = new Promise((done) => daemon.once("exit", done));
      daemon.kill("SIGTERM");
      await gone;
      deleteLinks("docker0");
      restoreRules();
      unmountBelow(folder);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Debian's podman with its storage under `base`; it has no daemon. */
export function podman(base: string): Peer {
  const folder = join(base, "podman");
  mkdirSync(folder, { recursive: true });
  const policy = join(folder, "policy.json");
  writeFileSync(policy, '{"default":[{"type":"insecureAcceptAnything"}]}');
  const restoreRules = rememberRules();
  const program = [
    "podman",
    "--root",
    join(folder, "data"),
    "--runroot",
    join(folder, "run"),
    "--cgroup-manager",
    "cgroupfs",
    // Debian's crun refuses a hybrid cgroup host and limits that the host cannot raise.
    "--runtime",
    "runc",
  ];
  return {
    name: "podman",
    version: output(["podman", "--version"]).trim().split(" ").at(-1)!,
    load: (archive) => void output([...program, "load", "--signature-policy", policy, "-q", "-i", archive]),
    command: (network) => [
      ...program,
      "run",
      "--rm",
      // Its defaults are above what this host may grant.
      "--ulimit=nofile=1024:1024",
      "--ulimit=nproc=1024:1024",
      ...(network === "none" ? ["--network", "none"] : []),
      "localhost/busybox:latest",
      "true",
    ],
    async [Symbol.asyncDispose]() {
      try {
        output([...program, "rm", "-af"]);
        output([...program, "rmi", "-af"]);
      } catch {} // the folder goes anyway
      deleteLinks("cni-podman0", "podman0");
      restoreRules();
      unmountBelow(folder);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
