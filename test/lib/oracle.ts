import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";

/** Which engine's traces to look for. */
export interface OracleScope {
  root: string;
  run: string;
  tag: string;
  /** The daemon's pid, whose open files are counted. */
  daemon?: number;
  /** The daemon is another one at each look: its files are not counted. */
  restarts?: boolean;
}

/** What exists on the machine on behalf of one engine, as sorted lines by kind. */
export type Snapshot = Record<
  "mounts" | "namespaces" | "links" | "nft" | "cgroups" | "loops" | "processes" | "files" | "store",
  string[]
>;

const lines = (text: string): string[] => text.split("\n").filter((line) => line !== "");
const output = (argv: string[]): string => {
  try {
    return execFileSync(argv[0]!, argv.slice(1), {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      maxBuffer: 64 << 20,
    });
  } catch {
    return "";
  }
};
const read = (path: string): string => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // the process may have gone meanwhile
  }
};
const link = (path: string): string => {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
};
const list = (path: string): string[] => {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
};
const unique = (items: Iterable<string>): string[] => [...new Set(items)].sort();

const pids = (): string[] => readdirSync("/proc").filter((name) => /^\d+$/.test(name));

function mounts(scope: OracleScope): string[] {
  const found = new Set<string>();
  const seen = new Set<string>();
  for (const pid of pids()) {
    const namespace = link(`/proc/${pid}/ns/mnt`);
    if (namespace === "" || seen.has(namespace)) continue;
    seen.add(namespace);
    for (const line of lines(read(`/proc/${pid}/mountinfo`)))
      if (line.includes(`${scope.root}/`) || line.includes(`${scope.run}/`)) {
        const fields = line.split(" ");
        found.add(`${fields[3]} ${fields[4]} ${line.split(" - ")[1]}`);
      }
  }
  return unique(found);
}

/** Namespaces that no process is needed for: bound ones show as nsfs mounts. */
function namespaces(scope: OracleScope): string[] {
  return unique(
    lines(read("/proc/self/mountinfo"))
      .filter((line) => line.includes(" - nsfs ") && (line.includes(scope.run) || line.includes(scope.tag)))
      .map((line) => line.split(" ")[4]!),
  );
}

/** What another engine on this machine made names that engine, and is its own matter. */
function anothers(scope: OracleScope, name: string): boolean {
  const tag = /^(?:gantry_|gt-?|g)([0-9a-f]{6})/.exec(name)?.[1];
  return tag !== undefined && tag !== scope.tag;
}

function links(scope: OracleScope): string[] {
  const parsed = JSON.parse(output(["ip", "-j", "link"]) || "[]") as { ifname: string; master?: string }[];
  return unique(
    parsed
      .filter(({ ifname }) => !anothers(scope, ifname))
      .map(({ ifname, master }) => `${ifname} ${master ?? ""}`),
  );
}

/** Counters and handles differ from run to run; all else of the ruleset counts. */
function nft(scope: OracleScope): string[] {
  type Item = Record<string, { table?: string; name?: string }>;
  const parsed = JSON.parse(output(["nft", "-j", "list", "ruleset"]) || '{"nftables":[]}') as {
    nftables: Item[];
  };
  const volatile = ["handle", "packets", "bytes", "metainfo", "expires"];
  return parsed.nftables
    .filter((item) => {
      const [kind, value] = Object.entries(item)[0]!;
      return !anothers(scope, (kind === "table" ? value.name : value.table) ?? "");
    })
    .map((item) => JSON.stringify(item, (key, value) => (volatile.includes(key) ? undefined : value)))
    .sort();
}

function cgroups(scope: OracleScope): string[] {
  return unique(
    lines(output(["find", "/sys/fs/cgroup", "-type", "d", "-path", `*gantry*${scope.tag}*`])).filter(
      (path) => !path.endsWith(`/gantry/${scope.tag}`),
    ),
  );
}

const loops = (): string[] => unique(lines(output(["losetup", "-n", "-l", "-O", "NAME,BACK-FILE"])));

function isOurs(scope: OracleScope, pid: string): boolean {
  if (Number(pid) === process.pid) return false;
  const command = read(`/proc/${pid}/cmdline`);
  const program = link(`/proc/${pid}/exe`).split("/").pop() ?? "";
  if (/^(find|nft|ip|losetup)$/.test(program)) return false;
  if (read(`/proc/${pid}/cgroup`).includes(`/gantry/${scope.tag}`)) return true;
  if (!/gantry|qemu|virtiofsd|crun|runc|unshare|mkfs|nsenter|busybox/.test(`${program} ${command}`))
    return false;
  const where = `${command}\0${read(`/proc/${pid}/environ`)}\0${link(`/proc/${pid}/cwd`)}`;
  return (
    where.includes(scope.root) ||
    where.includes(scope.run) ||
    read(`/proc/${pid}/mountinfo`).includes(`${scope.run}/`)
  );
}

function processes(scope: OracleScope): string[] {
  return pids()
    .filter((pid) => Number(pid) !== scope.daemon && isOurs(scope, pid))
    .map(
      (pid) =>
        `${read(`/proc/${pid}/comm`).trim()}: ${read(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim().slice(0, 120)}`,
    )
    .filter((line) => line !== ": ")
    .sort();
}

/** The daemon's descriptors by kind; numbers of sockets and pipes differ, their count must not. */
function files(scope: OracleScope): string[] {
  if (scope.daemon === undefined || scope.restarts) return [];
  const counts = new Map<string, number>();
  for (const fd of list(`/proc/${scope.daemon}/fd`)) {
    const kind = link(`/proc/${scope.daemon}/fd/${fd}`).replace(/\[\d+\]/, "");
    if (kind === "" || kind.startsWith("/proc/")) continue;
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return [...counts].map(([kind, count]) => `${kind} × ${count}`).sort();
}

/** Names of what stands in the root and run folders, without the content of layers and volumes. */
function store(scope: OracleScope): string[] {
  const found: string[] = [];
  const walk = (folder: string, shown: string, depth: number) => {
    for (const name of list(folder)) {
      const path = join(folder, name);
      const label = `${shown}/${name}`;
      if (/\.(db-wal|db-shm|log)$/.test(name)) continue;
      let directory = false;
      try {
        directory = statSync(path).isDirectory();
      } catch {
        continue;
      }
      if (directory && depth > 0 && !/^root\/(layers|volumes\/[^/]+\/[^/]+)\/[^/]+$/.test(label))
        walk(path, label, depth - 1);
      else found.push(label);
    }
  };
  walk(scope.root, "root", 4);
  walk(scope.run, "run", 3);
  return found.sort();
}

/** Looks at the whole machine once. */
export function snapshot(scope: OracleScope): Snapshot {
  return {
    mounts: mounts(scope),
    namespaces: namespaces(scope),
    links: links(scope),
    nft: nft(scope),
    cgroups: cgroups(scope),
    loops: loops(),
    processes: processes(scope),
    files: files(scope),
    store: existsSync(scope.root) ? store(scope) : [],
  };
}

/** One line for each difference; empty when nothing leaked and nothing is missing. */
export function differences(before: Snapshot, after: Snapshot): string[] {
  const found: string[] = [];
  for (const kind of Object.keys(before) as (keyof Snapshot)[]) {
    const rest = [...before[kind]];
    for (const item of after[kind]) {
      const at = rest.indexOf(item);
      if (at < 0) found.push(`${kind}: leaked ${item}`);
      else rest.splice(at, 1);
    }
    for (const item of rest) found.push(`${kind}: missing ${item}`);
  }
  return found;
}

/** Waits up to `patience` ms for the machine to be as it was, then returns what differs. */
export async function settle(before: Snapshot, scope: OracleScope, patience = 5000): Promise<string[]> {
  const until = Date.now() + patience;
  for (;;) {
    const found = differences(before, snapshot(scope));
    if (found.length === 0 || Date.now() > until) return found;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
