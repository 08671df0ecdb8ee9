import type { NewConfig } from "../client/types.ts";
import type { Isolation } from "../model/isolation.ts";
import { bool, type Flags, type FlagValues, list, UsageError, value } from "./command.ts";
import { parseEnv, parseLabels } from "./values/env.ts";
import { checkTargets, parseTmpfs, parseVolume } from "./values/mount.ts";
import { parseCpus, parseInteger } from "./values/number.ts";
import { parsePort } from "./values/port.ts";
import { parseSize } from "./values/size.ts";

const walls = ["container", "vm"] as const;

/** The flags that say what an instance is, for `create` and `run`. */
export const createFlags = {
  interactive: bool("Keep its standard input open", { short: "i" }),
  tty: bool("Give it a terminal", { short: "t" }),
  attach: list("STREAM", "Attach to stdin, stdout or stderr", {
    short: "a",
    completes: ["stdin", "stdout", "stderr"],
  }),
  rm: bool("Remove it, and its anonymous volumes, when it ends"),
  name: value("NAME", "Its name"),
  hostname: value("NAME", "Its host name", { short: "h" }),
  env: list("KEY=VALUE", "Set a variable; KEY alone takes it from here", { short: "e" }),
  "env-file": list("FILE", "Read variables from a file", { completes: "file" }),
  workdir: value("FOLDER", "Working folder", { short: "w" }),
  user: value("USER[:GROUP]", "User, by name or number", { short: "u" }),
  entrypoint: value("PROGRAM", "Replace the image's entry point"),
  volume: list("[SOURCE:]TARGET[:ro]", "Mount a folder, a file or a volume", {
    short: "v",
    completes: "file",
  }),
  tmpfs: list("TARGET[:size=64m,...]", "Mount a file system in memory"),
  "read-only": bool("Make its root file system read-only"),
  publish: list("[ADDRESS:][PORT:]PORT[/udp]", "Publish a port, or a range of them, on the host", {
    short: "p",
  }),
  network: value("nat|none", "Its network", { completes: ["nat", "none"] }),
  net: value("nat|none", "", { hidden: true }),
  cpus: value("NUMBER", "CPUs it may use, fractions allowed"),
  memory: value("SIZE", "Memory it may use (512m, 1g)", { short: "m" }),
  "pids-limit": value("NUMBER", "Processes it may have; -1 for no limit"),
  label: list("KEY=VALUE", "Set a label", { short: "l" }),
  restart: value("POLICY", "no, on-failure[:MAX], always or unless-stopped", {
    completes: ["no", "on-failure", "always", "unless-stopped"],
  }),
  "stop-signal": value("SIGNAL", "Signal that asks it to stop"),
  "stop-timeout": value("SECONDS", "How long a stop waits before it kills; -1 for ever"),
  "cap-add": list("CAPABILITY", "Add a capability"),
  "cap-drop": list("CAPABILITY", "Drop a capability, or ALL"),
  "security-opt": list("no-new-privileges", "Keep its processes from gaining privileges", {
    completes: ["no-new-privileges"],
  }),
  "storage-opt": list("size=SIZE", "Limit its writable layer"),
  isolation: value("container|vm", "The wall: a shared kernel, or its own", { completes: walls }),
  vm: bool("Short for --isolation vm"),
  runtime: value("container|vm", "The same as --isolation", { completes: walls }),
} as const satisfies Flags;

/** Further flags of `run`. */
export const runFlags = {
  ...createFlags,
  detach: bool("Run in the background and print the id", { short: "d" }),
  "sig-proxy": bool("Pass signals on to the process (default true)"),
  "detach-keys": value("KEYS", "Keys that detach, default ctrl-p,ctrl-q"),
} as const satisfies Flags;

const names = (text: string): Record<string, string> =>
  Object.fromEntries(
    text
      .trim()
      .split(/\s+/)
      .map((name) => [name, ""]),
  );

/** Docker's and Podman's flags that we know and do not have: refused by name, never ignored. */
export const laterFlags: Readonly<Record<string, string>> = {
  ...names(`
    add-host annotation arch blkio-weight blkio-weight-device cgroup-parent cgroupns cgroup-conf cgroups chrootdirs
    cidfile conmon-pidfile cpu-count cpu-percent cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares c
    cpuset-cpus cpuset-mems device device-cgroup-rule device-read-bps device-read-iops device-write-bps
    device-write-iops disable-content-trust dns dns-opt dns-option dns-search domainname env-host env-merge expose
    gidmap gpus group-add group-entry health-cmd health-interval health-on-failure health-retries
    health-start-interval health-start-period health-timeout hooks-dir hostuser http-proxy image-volume init
    init-ctr init-path io-maxbandwidth io-maxiops ip ip6 ipc kernel-memory label-file link link-local-ip log-driver
    log-opt mac-address memory-reservation memory-swap memory-swappiness network-alias net-alias no-healthcheck
    no-hostname no-hosts oom-kill-disable oom-score-adj os passwd passwd-entry personality pid pidfile platform pod
    pod-id-file preserve-fds privileged publish-all P pull quiet q rdt-class read-only-tmpfs replace requires rmi
    rootfs sdnotify seccomp-policy secret shm-size shm-size-systemd subgidname subuidname sysctl systemd timeout
    tls-verify tz uidmap ulimit umask unsetenv unsetenv-all use-api-socket userns uts variant volume-driver
    volumes-from`),
  mount: "use -v or --tmpfs",
};

type Values = FlagValues<typeof createFlags>;

/** `--isolation`, `--vm` and `--runtime` must agree. */
function isolationOf(flags: Values): Isolation {
  const words = [flags.isolation, flags.runtime, flags.vm ? "vm" : undefined].filter((w) => w !== undefined);
  for (const word of words)
    if (!(walls as readonly string[]).includes(word))
      throw new UsageError(`--isolation and --runtime take container or vm, not ${JSON.stringify(word)}`);
  if (new Set(words).size > 1)
    throw new UsageError(`--isolation, --runtime and --vm name different walls: ${words.join(", ")}`);
  return (words[0] as Isolation | undefined) ?? "container";
}

function networkOf(flags: Values): "nat" | "none" {
  const word = flags.network ?? flags.net ?? "nat";
  if (word === "nat" || word === "none") return word;
  if (word === "bridge" || word === "default") return "nat";
  throw new UsageError(`--network ${JSON.stringify(word)} is not supported yet: nat or none`);
}

function restartOf(text: string): NonNullable<NewConfig["restart"]> {
  const [name, retries, more] = text.split(":");
  if (more === undefined) {
    if (name === "on-failure")
      return {
        name,
        maxRetries: retries === undefined ? 0 : parseInteger("--restart on-failure:MAX", retries, 0),
      };
    if (retries === undefined && (name === "no" || name === "always" || name === "unless-stopped"))
      return { name, maxRetries: 0 };
  }
  throw new UsageError(
    `--restart takes no, on-failure[:MAX], always or unless-stopped, not ${JSON.stringify(text)}`,
  );
}

function noNewPrivileges(words: readonly string[]): boolean {
  let on = false;
  for (const word of words) {
    const match = /^no-new-privileges(?:[:=](true|false))?$/.exec(word);
    if (!match) {
      const known =
        /^(seccomp|apparmor|label|systempaths|credentialspec|mask|unmask|proc-opts|writable-cgroups)\b/;
      throw new UsageError(
        known.test(word)
          ? `--security-opt ${word} is not supported yet`
          : `--security-opt takes no-new-privileges, not ${JSON.stringify(word)}`,
      );
    }
    on = match[1] !== "false";
  }
  return on;
}

function storageOf(words: readonly string[]): number | undefined {
  let size: number | undefined;
  for (const word of words) {
    if (!word.startsWith("size="))
      throw new UsageError(`--storage-opt takes size=SIZE, not ${JSON.stringify(word)}`);
    size = parseSize("--storage-opt size=", word.slice(5));
  }
  return size;
}

function pidsOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const limit = parseInteger("--pids-limit", text, -1);
  return limit <= 0 ? undefined : limit;
}

function memoryOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const bytes = parseSize("-m", text);
  if (bytes !== 0 && bytes < 6 << 20) throw new UsageError(`-m ${text}: the least is 6m`);
  return bytes === 0 ? undefined : bytes;
}

/** The configuration that a `create` or `run` command line asks for. Throws UsageError. */
export function configOf(flags: Values, image: string, command: readonly string[]): NewConfig {
  const mounts = [...flags.volume.map((v) => parseVolume(v)), ...flags.tmpfs.map(parseTmpfs)];
  checkTargets(mounts);
  if (flags.rm && flags.restart !== undefined && flags.restart !== "no")
    throw new UsageError(`--rm and --restart ${flags.restart} contradict each other`);
  const isEmpty = (text: string | undefined) => text === undefined || text === "";
  return {
    image,
    isolation: isolationOf(flags),
    ...(flags.entrypoint === undefined
      ? {}
      : { entrypoint: flags.entrypoint === "" ? [] : [flags.entrypoint] }),
    ...(command.length === 0 ? {} : { command: [...command] }),
    env: parseEnv(flags["env-file"], flags.env),
    ...(isEmpty(flags.workdir) ? {} : { workdir: flags.workdir }),
    ...(isEmpty(flags.user) ? {} : { user: flags.user }),
    ...(isEmpty(flags.hostname) ? {} : { hostname: flags.hostname }),
    tty: flags.tty ?? false,
    openStdin: flags.interactive ?? false,
    labels: parseLabels("--label", flags.label),
    mounts,
    readOnlyRootfs: flags["read-only"] ?? false,
    network: networkOf(flags),
    ports: flags.publish.flatMap(parsePort),
    limits: {
      cpus: flags.cpus === undefined ? undefined : parseCpus(flags.cpus),
      memory: memoryOf(flags.memory),
      pids: pidsOf(flags["pids-limit"]),
      storage: storageOf(flags["storage-opt"]),
    },
    ...(flags.restart === undefined ? {} : { restart: restartOf(flags.restart) }),
    ...(isEmpty(flags["stop-signal"]) ? {} : { stopSignal: flags["stop-signal"] }),
    ...(flags["stop-timeout"] === undefined
      ? {}
      : { stopTimeout: parseInteger("--stop-timeout", flags["stop-timeout"], -1) }),
    capAdd: flags["cap-add"],
    capDrop: flags["cap-drop"],
    noNewPrivileges: noNewPrivileges(flags["security-opt"]),
    autoRemove: flags.rm ?? false,
  };
}

/** `-a` words, checked. */
export function attachStreams(words: readonly string[]): Set<"stdin" | "stdout" | "stderr"> {
  const streams = new Set<"stdin" | "stdout" | "stderr">();
  for (const word of words) {
    const stream = word.toLowerCase();
    if (stream !== "stdin" && stream !== "stdout" && stream !== "stderr")
      throw new UsageError(`-a takes stdin, stdout or stderr, not ${JSON.stringify(word)}`);
    streams.add(stream);
  }
  return streams;
}
