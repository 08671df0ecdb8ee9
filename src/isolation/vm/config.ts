import { type Paths, sandboxFolder } from "../../lib/paths.ts";
import { GantryError } from "../../model/errors.ts";
import { shortId } from "../../model/ids.ts";
import type { OpenRequest } from "../../ports/isolation.ts";
import type { RootfsSpec } from "../../ports/supervisor.ts";
import { type Accelerator, type Guest, kernelCommandLine } from "./guest.ts";
import { type Disk, qemuArguments } from "./machine.ts";
import { guestRam, hostLimit } from "./memory.ts";
import { type Share, sharesOf } from "./shares.ts";

/** What the shim of a VM reads on its standard input (supervisor/vm_config.h). */
export interface ShimConfig {
  id: string;
  folder: string;
  accelerator: Accelerator;
  uid: number;
  gid: number;
  /** Below the root of each cgroup hierarchy. */
  cgroup: string;
  /** Bytes, for QEMU and virtiofsd together. */
  memoryLimit: number;
  pidsLimit: number;
  /** Bytes: no file that QEMU has open grows beyond. */
  fileLimit: number;
  qemu: string[];
  kernel: string;
  initrd: string;
  disks: { path: string; readOnly: boolean }[];
  tap?: string;
  shares: Share[];
  virtiofsd: string;
  /** The guest's `configure` without time and randomness, which the shim adds at the moment of sending. */
  configure: {
    hostname: string;
    network?: { mac: string; address: string; prefix: number; gateway: string; mtu: number };
    shares: boolean;
  };
  /** For a sandbox that is opened for its files only: the guest's `mount-rootfs`. */
  mount?: { op: "mount-rootfs"; workload: string; rootfs: RootfsSpec };
  /** Milliseconds an attempt may take, and milliseconds of QEMU's CPU time: a busy host is slow, not stuck. */
  bootTimeout: number;
  bootCpu: number;
  bootTries: number;
  /** Milliseconds from the last workload's end until QEMU is killed. */
  poweroffTimeout: number;
  /** Nothing that the guest has written is needed after its workload's end: QEMU is killed then, without a sync. */
  throwaway: boolean;
}

/** What of the host the configuration depends on. */
export interface HostFacts {
  guest: Guest;
  accelerator: Accelerator;
  qemu: string;
  virtiofsd: string;
  khz: number;
  cpus: number;
}

/** virtio-blk serials of the two disks. */
export const rootfs: RootfsSpec = { kind: "disk", image: "image", layer: "layer" };

export interface Disks {
  /** EROFS file. */
  image: string;
  /** Raw ext4 file and its size in bytes. */
  layer: string;
  layerSize: number;
}

/** The shim's configuration. Pure. Throws `internal` when the record lacks what a VM needs. */
export function shimConfig(paths: Paths, request: OpenRequest, host: HostFacts, files: Disks): ShimConfig {
  const { sandbox, instance, attachment } = request;
  if (sandbox.uid === undefined)
    throw new GantryError("internal", `sandbox ${sandbox.id} has no uid for QEMU`);
  const { limits } = instance.config;
  const disks: Disk[] = [
    { serial: "image", path: files.image, readOnly: true },
    { serial: "layer", path: files.layer, readOnly: false },
  ];
  const shares = sharesOf(request.hostMounts);
  const ram = guestRam(limits.memory);
  const network = networkOf(attachment);
  return {
    id: sandbox.id,
    folder: sandboxFolder(paths, sandbox.id),
    accelerator: host.accelerator,
    uid: sandbox.uid,
    gid: sandbox.uid,
    cgroup: cgroupPath(paths, sandbox.id),
    memoryLimit: hostLimit(ram, shares.length),
    pidsLimit: 512,
    fileLimit: Math.max(ram, files.layerSize),
    qemu: qemuArguments({
      program: host.qemu,
      name: `gantry-${shortId(sandbox.id)}`,
      accelerator: host.accelerator,
      ram,
      cpus: Math.min(Math.max(1, Math.ceil(limits.cpus ?? 1)), host.cpus),
      commandLine: kernelCommandLine(host.guest, host.accelerator, host.khz),
      disks,
      ...(network && { network }),
      shares: shares.length > 0,
    }),
    kernel: host.guest.kernel,
    initrd: host.guest.initramfs,
    disks: disks.map(({ path, readOnly }) => ({ path, readOnly })),
    ...(network && { tap: network.tap }),
    shares,
    virtiofsd: host.virtiofsd,
    configure: {
      hostname: instance.config.hostname ?? shortId(instance.id),
      ...(network && { network: network.configure }),
      shares: shares.length > 0,
    },
    bootTimeout: 120_000,
    bootCpu: host.accelerator === "kvm" ? 10_000 : 30_000,
    bootTries: 2,
    poweroffTimeout: 15_000,
    throwaway: instance.config.autoRemove && shares.length === 0,
  };
}

export const cgroupPath = (paths: Paths, sandboxId: string): string => `/gantry/${paths.tag}/${sandboxId}`;

function networkOf(attachment: OpenRequest["attachment"]) {
  if (!attachment || attachment.mode === "none") return undefined;
  const { tap, mac, address, prefix, gateway, mtu } = attachment;
  if (
    tap === undefined ||
    mac === undefined ||
    address === undefined ||
    prefix === undefined ||
    gateway === undefined
  )
    throw new GantryError(
      "internal",
      `the network gave sandbox ${attachment.sandboxId} no tap with an address`,
    );
  return { tap, mac, configure: { mac, address, prefix, gateway, mtu: mtu ?? 1500 } };
}
