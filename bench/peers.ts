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

const filterRules = (): string => {
  try {
    return output(["iptables-save"]);
  } catch {
    return "";
  }
};

/** Debian's dockerd with its data under `base`; its bridge, rules and sysctls are taken back at the end. */
export async function docker(base: string): Promise<Peer> {
  const folder = join(base, "docker");
  mkdirSync(folder, { recursive: true });
  const rules = filterRules();
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
      for (const link of ["docker0"]) {
        try {
          output(["ip", "link", "del", link]);
        } catch {} // it was not made, or went with the daemon
      }
      if (rules !== "") execFileSync("iptables-restore", { input: rules });
      for (const line of readFileSync("/proc/self/mounts", "utf8").split("\n").reverse()) {
        const target = line.split(" ")[1];
        if (target?.startsWith(`${folder}/`)) execFileSync("umount", ["-l", target]);
      }
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
  const rules = filterRules();
  const program = [
    "podman",
    "--root",
    join(folder, "data"),
    "--runroot",
    join(folder, "run"),
    "--cgroup-manager",
    "cgroupfs",
  ];
  return {
    name: "podman",
    version: output(["podman", "--version"]).trim().split(" ").at(-1)!,
    load: (archive) => void output([...program, "load", "--signature-policy", policy, "-q", "-i", archive]),
    command: (network) => [
      ...program,
      "run",
      "--rm",
      ...(network === "none" ? ["--network", "none"] : []),
      "localhost/busybox:latest",
      "true",
    ],
    async [Symbol.asyncDispose]() {
      try {
        output([...program, "rm", "-af"]);
        output([...program, "rmi", "-af"]);
      } catch {} // the folder goes anyway
      for (const link of ["cni-podman0", "podman0"])
        if (existsSync(`/sys/class/net/${link}`)) output(["ip", "link", "del", link]);
      if (rules !== "") execFileSync("iptables-restore", { input: rules });
      for (const line of readFileSync("/proc/self/mounts", "utf8").split("\n").reverse()) {
        const target = line.split(" ")[1];
        if (target?.startsWith(`${folder}/`)) execFileSync("umount", ["-l", target]);
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
