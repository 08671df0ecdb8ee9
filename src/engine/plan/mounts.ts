import { posix } from "node:path";
import { GantryError } from "../../model/errors.ts";
import type { InstanceConfig, Mount } from "../../model/instance.ts";
import type { ImageConfig, RuntimeMount } from "../../model/oci.ts";

/** What every workload gets; a user's mount at the same target takes its place. */
const defaults: readonly RuntimeMount[] = [
  { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
  {
    destination: "/dev",
    type: "tmpfs",
    source: "tmpfs",
    options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
  },
  {
    destination: "/dev/pts",
    type: "devpts",
    source: "devpts",
    options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
  },
  { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
  {
    destination: "/sys/fs/cgroup",
    type: "cgroup",
    source: "cgroup",
    options: ["nosuid", "noexec", "nodev", "relatime", "ro"],
  },
  { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
  {
    destination: "/dev/shm",
    type: "tmpfs",
    source: "shm",
    options: ["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"],
  },
];

/** A volume mount that the engine has still to find or make. */
export interface VolumeWant {
  /** Absent: anonymous. */
  name?: string;
  target: string;
  readOnly: boolean;
  noCopy: boolean;
}

/** The mounts a user asked for, with the image's VOLUMEs that none of them covers, targets cleaned. Throws `invalid`. */
export function wantedMounts(config: Pick<InstanceConfig, "mounts">, image: ImageConfig): Mount[] {
  const wanted = config.mounts.map((mount) => ({ ...mount, target: cleanTarget(mount.target) }));
  const taken = new Set<string>();
  for (const mount of wanted) {
    if (taken.has(mount.target))
      throw new GantryError("invalid", `two mounts have the target ${mount.target}: leave one out`);
    taken.add(mount.target);
    if (mount.type === "bind" && !mount.source.startsWith("/"))
      throw new GantryError("invalid", `bind source ${JSON.stringify(mount.source)} is not an absolute path`);
  }
  for (const volume of Object.keys(image.config?.Volumes ?? {})) {
    const target = cleanTarget(volume);
    if (taken.has(target)) continue;
    taken.add(target);
    wanted.push({ type: "volume", target, readOnly: false, noCopy: false });
  }
  return wanted;
}

/** An absolute target without `.`, `..` or doubled slashes; not the root itself and nothing in /proc. */
export function cleanTarget(target: string): string {
  if (!target.startsWith("/") || target.includes("\0"))
    throw new GantryError("invalid", `mount target ${JSON.stringify(target)} is not an absolute path`);
  const clean = posix.normalize(target).replace(/(.)\/$/, "$1");
  if (clean === "/")
    throw new GantryError("invalid", `mount target ${JSON.stringify(target)} is the root itself`);
  if (clean === "/proc" || clean.startsWith("/proc/"))
    throw new GantryError("invalid", `mount target ${clean} lies in /proc, which belongs to the kernel`);
  return clean;
}

const depth = (path: string): number => path.split("/").length;

/** All mounts in the order they are made: defaults first, then the user's, outer folders before inner ones. */
export function runtimeMounts(own: RuntimeMount[]): RuntimeMount[] {
  const targets = new Set(own.map((mount) => mount.destination));
  const sorted = own
    .map((mount, index) => ({ mount, index }))
    .sort((a, b) => depth(a.mount.destination) - depth(b.mount.destination) || a.index - b.index)
    .map(({ mount }) => mount);
  return [...defaults.filter((mount) => !targets.has(mount.destination)), ...sorted];
}

export const bindMount = (source: string, target: string, readOnly: boolean): RuntimeMount => ({
  destination: target,
  type: "bind",
  source,
  options: ["rbind", readOnly ? "ro" : "rw", "rprivate"],
});

const opposite: Record<string, string> = {
  exec: "noexec",
  noexec: "exec",
  suid: "nosuid",
  nosuid: "suid",
  dev: "nodev",
  nodev: "dev",
  ro: "rw",
  rw: "ro",
};

/** A tmpfs with Docker's defaults (noexec, nosuid, nodev, mode 1777), each undone by its opposite. Throws `invalid`. */
export function tmpfsMount(mount: Extract<Mount, { type: "tmpfs" }>): RuntimeMount {
  const options = new Set(["noexec", "nosuid", "nodev"]);
  for (const option of mount.options) {
    const other = opposite[option];
    if (other === undefined && !/^(uid|gid|nr_inodes)=\d{1,10}$/.test(option))
      throw new GantryError(
        "invalid",
        `tmpfs option ${JSON.stringify(option)} for ${mount.target} is not known: use size=, mode=, uid=, gid=, nr_inodes=, ro, exec, suid, dev`,
      );
    if (other !== undefined) options.delete(other);
    options.add(option);
  }
  options.add(`mode=${(mount.mode ?? 0o1777).toString(8)}`);
  if (mount.size !== undefined) options.add(`size=${mount.size}`);
  return { destination: mount.target, type: "tmpfs", source: "tmpfs", options: [...options] };
}
