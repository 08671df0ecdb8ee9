import type { Accelerator } from "./guest.ts";
import { translationBuffer } from "./memory.ts";

/** QEMU's descriptors, placed by the shim (supervisor/vm_config.h has the same numbers). */
export const descriptors = { qmp: 3, agent: 4, console: 5, tap: 6, shares: 7, disk: 8 } as const;

export interface Disk {
  /** virtio-blk serial, at most 20 characters. */
  serial: string;
  path: string;
  readOnly: boolean;
}

/** A virtual machine, as far as QEMU's command line knows it. */
export interface Machine {
  program: string;
  name: string;
  accelerator: Accelerator;
  /** Bytes, whole MiB. */
  ram: number;
  cpus: number;
  commandLine: string;
  disks: readonly Disk[];
  network?: { mac: string };
  /** A virtiofs device with tag `gantry`. */
  shares: boolean;
}

const trimmed = "q35,smm=off,sata=off,smbus=off,i8042=off,vmport=off,hpet=off,graphics=off";

/** QEMU's argument vector. Pure: paths in it are those inside QEMU's own root, all else comes as descriptors. */
export function qemuArguments(machine: Machine): string[] {
  const ram = machine.ram >> 20;
  return [
    machine.program,
    ...["-name", machine.name],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    ...["-machine", machine.shares ? `${trimmed},memory-backend=ram` : trimmed],
    ...(machine.accelerator === "kvm"
      ? ["-accel", "kvm", "-cpu", "host"]
      : ["-accel", `tcg,tb-size=${translationBuffer}`, "-cpu", "max"]),
    ...["-smp", String(machine.cpus), "-m", `${ram}M`],
    ...(machine.shares ? ["-object", `memory-backend-memfd,id=ram,size=${ram}M,share=on`] : []),
    ...["-kernel", "/guest/kernel", "-initrd", "/guest/initrd", "-append", machine.commandLine],
    ...["-chardev", `socket,id=qmp,fd=${descriptors.qmp}`, "-mon", "chardev=qmp,mode=control"],
    ...["-chardev", `socket,id=console,fd=${descriptors.console}`, "-serial", "chardev:console"],
    ...[
      "-chardev",
      `socket,id=agent,fd=${descriptors.agent}`,
      "-device",
      "virtio-serial-pci,max_ports=2,disable-legacy=on",
    ],
    ...["-device", "virtserialport,chardev=agent,name=gantry.agent"],
    ...machine.disks.flatMap(diskArguments),
    ...networkArguments(machine),
    ...shareArguments(machine),
  ];
}

function diskArguments(disk: Disk, index: number): string[] {
  const node = {
    driver: "raw",
    "node-name": disk.serial,
    "read-only": disk.readOnly,
    discard: disk.readOnly ? "ignore" : "unmap",
    file: { driver: "file", filename: `/dev/fdset/${index + 1}` },
  };
  return [
    ...["-add-fd", `fd=${descriptors.disk + index},set=${index + 1}`],
    ...["-blockdev", JSON.stringify(node)],
    ...[
      "-device",
      `virtio-blk-pci,drive=${disk.serial},serial=${disk.serial},num-queues=1,disable-legacy=on`,
    ],
  ];
}

const networkArguments = ({ network }: Machine): string[] =>
  network
    ? [
        ...["-netdev", `tap,id=net,fd=${descriptors.tap}`],
        ...["-device", `virtio-net-pci,netdev=net,mac=${network.mac},romfile=,disable-legacy=on`],
      ]
    : [];

const shareArguments = ({ shares }: Machine): string[] =>
  shares
    ? [
        ...["-chardev", `socket,id=shares,fd=${descriptors.shares}`],
        ...["-device", "vhost-user-fs-pci,chardev=shares,tag=gantry"],
      ]
    : [];
