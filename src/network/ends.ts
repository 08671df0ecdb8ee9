import { mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { GantryError } from "../model/errors.ts";
import type { Attachment } from "../ports/network.ts";
import { run } from "./tools.ts";

/**
 * Runs in the new network namespace, whose /proc/sys/net it sees, and turns into `ip`, which reads its commands
 * from standard input. The values are Docker's: pings without privilege, low ports for every user. No IPv6 on eth0
 * (the network has none), but on lo.
 */
const insideNamespace = `cd /proc/sys/net &&
echo '0 2147483647' >ipv4/ping_group_range &&
echo 0 >ipv4/ip_unprivileged_port_start &&
{ [ ! -e ipv6 ] || echo 1 >ipv6/conf/default/disable_ipv6; } &&
exec ip -batch -`;

/**
 * Makes a network namespace bound at `file`, with lo up and, for mode nat, eth0 whose other end is `hostLink`
 * in the engine's namespace. One process; the namespace needs none to live on.
 */
export async function makeNamespace(file: string, attachment: Attachment): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  try {
    await (await open(file, "wx", 0o600)).close();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST")
      throw new GantryError(
        "exists",
        `network namespace ${file} is there already: detach the instance first`,
      );
    throw error;
  }
  const lines = ["link set dev lo up"];
  const { mode, address, prefix, mac, mtu, hostLink, gateway } = attachment;
  if (mode === "nat")
    lines.push(
      `link add name eth0 mtu ${mtu} address ${mac} type veth peer name ${hostLink} mtu ${mtu} netns ${process.pid}`,
      `addr add ${address}/${prefix} brd + dev eth0`,
      "link set dev eth0 up",
      `route add default via ${gateway}`,
    );
  await run(["unshare", `--net=${file}`, "--", "/bin/sh", "-c", insideNamespace], {
    input: `${lines.join("\n")}\n`,
  });
}

/** Takes bound namespaces away; idempotent. The files may be bound more than once, or not at all. */
export async function removeNamespaces(files: readonly string[]): Promise<void> {
  for (let tries = 0; tries < 4; tries++) {
    const bound = (
      await Promise.all(files.map(async (file) => ((await isBound(file)) ? [file] : [])))
    ).flat();
    if (bound.length === 0) break;
    await run(["umount", "-l", ...bound], { ok: anyStatus });
  }
  // Removing the file also detaches it in the mount namespaces of supervisors that copied ours.
  await Promise.all(files.map((file) => rm(file, { force: true })));
}

const anyStatus = Array.from({ length: 256 }, (_, status) => status);

/** A bound namespace is on another file system than its folder. */
async function isBound(file: string): Promise<boolean> {
  const [own, folder] = await Promise.all(
    [file, dirname(file)].map((path) => stat(path).catch(() => undefined)),
  );
  return own !== undefined && own.dev !== folder?.dev;
}

/** Files of namespaces in `folder`; none when there is no folder. */
export async function listNamespaces(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  return names.map((name) => join(folder, name));
}

/**
 * Commands that put a host end into the bridge. `hairpin`: with br_netfilter an instance that reaches itself
 * by a published port comes back through the port it went out by.
 */
export function bridgePortLines(attachment: Attachment, bridge: string): string[] {
  const link = linkOf(attachment);
  return [
    `link set dev ${link} mtu ${attachment.mtu} addrgenmode none master ${bridge} up`,
    `link set dev ${link} type bridge_slave hairpin on`,
  ];
}

/** The same, and before it makes the tap: persistent, so that it outlives QEMU and engine. */
export const hostEndLines = (attachment: Attachment, bridge: string): string[] => [
  ...(attachment.end === "tap" ? [`tuntap add dev ${attachment.tap} mode tap vnet_hdr`] : []),
  ...bridgePortLines(attachment, bridge),
];

/** The host's link of an attachment, if it has one. */
export const linkOf = (attachment: Attachment): string | undefined =>
  attachment.end === "netns" ? attachment.hostLink : attachment.tap;
