import { expect, test } from "bun:test";
import { resolvePaths } from "../../lib/paths.ts";
import type { InstanceRecord } from "../../model/instance.ts";
import type { RuntimeSpec } from "../../model/oci.ts";
import type { OpenRequest } from "../../ports/isolation.ts";
import { type HostFacts, shimConfig } from "./config.ts";
import { tscKhz } from "./guest.ts";
import { qemuArguments } from "./machine.ts";
import { guestRam, hostLimit } from "./memory.ts";
import { refusals } from "./refusals.ts";
import { rewriteBinds } from "./shares.ts";

const mib = 1 << 20;

test("QEMU's command line, with everything", () => {
  const argv = qemuArguments({
    program: "/usr/bin/qemu-system-x86_64",
    name: "gantry-0123",
    accelerator: "tcg",
    ram: 618 * mib,
    cpus: 2,
    commandLine: "quiet lpj=4",
    disks: [
      { serial: "image", path: "/i", readOnly: true },
      { serial: "layer", path: "/l", readOnly: false },
    ],
    network: { mac: "02:00:00:00:00:01" },
    shares: true,
  });
  expect(argv).toMatchSnapshot();
});

test("under KVM, without network or shares, none of their devices are there", () => {
  const argv = qemuArguments({
    program: "qemu",
    name: "n",
    accelerator: "kvm",
    ram: 256 * mib,
    cpus: 1,
    commandLine: "quiet",
    disks: [],
    shares: false,
  });
  expect(argv.join(" ")).toContain("-accel kvm -cpu host -smp 1 -m 256M");
  for (const word of ["netdev", "virtio-net", "memfd", "vhost", "blockdev"])
    expect(argv.join(" ")).not.toContain(word);
});

const host: HostFacts = {
  guest: {
    kernel: "/libexec/guest/kernel",
    initramfs: "/libexec/guest/initramfs",
    release: "6.12",
    digest: "d",
    commandLine: ["quiet"],
    commandLineTcg: ["tsc_early_khz={khz}", "lpj={khz*4}"],
  },
  accelerator: "tcg",
  qemu: "/usr/bin/qemu-system-x86_64",
  virtiofsd: "/usr/lib/qemu/virtiofsd",
  khz: 2_600_000,
  cpus: 2,
};

const request = (limits: object, own: Partial<OpenRequest> = {}): OpenRequest =>
  ({
    sandbox: { id: "a".repeat(64), project: "default", isolation: "vm", uid: 710_001 },
    instance: { id: "a".repeat(64), config: { limits } } as unknown as InstanceRecord,
    attachment: undefined,
    image: undefined,
    hostMounts: [],
    ...own,
  }) as unknown as OpenRequest;

test("the shim's configuration follows from record, image and host", () => {
  const paths = { ...resolvePaths({ root: "/var/lib/gantry", run: "/run/gantry" }, {}), libexec: "/libexec" };
  const files = { image: "/store/image", layer: "/store/layer", layerSize: 10 * 1024 * mib };
  const plain = shimConfig(paths, request({}), host, files);
  expect(plain).toMatchSnapshot();
  expect(plain.tap).toBeUndefined();
  expect(plain.configure.network).toBeUndefined();

  const attachment = {
    sandboxId: "a",
    mode: "nat" as const,
    end: "tap" as const,
    tap: "gt0",
    address: "10.88.0.2",
    prefix: 16,
    gateway: "10.88.0.1",
    mac: "02:00:00:00:00:02",
    ports: [],
  };
  const full = shimConfig(
    paths,
    request(
      { memory: 64 * mib, cpus: 7.5 },
      { attachment, hostMounts: [{ source: "/h", target: "/t", readOnly: true }] },
    ),
    host,
    files,
  );
  expect(full.qemu.join(" ")).toContain("-smp 2 ");
  expect(full.shares).toEqual([{ source: "/h", readOnly: true }]);
  expect(full.configure).toMatchObject({
    shares: true,
    network: { mac: "02:00:00:00:00:02", address: "10.88.0.2", mtu: 1500 },
  });
  expect(() =>
    shimConfig(paths, request({}, { attachment: { ...attachment, mac: undefined } as never }), host, files),
  ).toThrow("no tap");
});

test("guest RAM is the limit and the overhead; the host's limit is above it", () => {
  expect(guestRam()).toBe(620 * mib);
  expect(guestRam(64 * mib)).toBe(162 * mib);
  expect(guestRam(100_000_001) % mib).toBe(0);
  expect(hostLimit(100 * mib, 0)).toBeGreaterThanOrEqual(356 * mib);
  expect(hostLimit(100 * mib, 1)).toBeGreaterThan(hostLimit(100 * mib, 0));
});

test("binds become shares by their place; a host path that is no host mount is refused", () => {
  const bind = (source: string, destination: string) => ({
    type: "bind",
    source,
    destination,
    options: ["rbind", "rw"],
  });
  const spec = (mounts: RuntimeSpec["mounts"]) => ({ mounts }) as RuntimeSpec;
  const hostMounts = [
    { source: "/h", target: "/a", readOnly: false },
    { source: "/h", target: "/b", readOnly: true },
  ];
  const proc = { type: "proc", source: "proc", destination: "/proc", options: [] };
  const { mounts } = rewriteBinds(spec([proc, bind("/h", "/b"), bind("/h", "/a")]), hostMounts);
  expect(mounts.map(({ source }) => source)).toEqual([
    "proc",
    "/run/gantry/shares/1",
    "/run/gantry/shares/0",
  ]);
  expect(() => rewriteBinds(spec([bind("/etc", "/c")]), hostMounts)).toThrow("not among the host mounts");
});

test("refusals name the flag", () => {
  const config = (limits: object, mounts: object[] = []) => ({ limits, mounts }) as never;
  expect(refusals(config({}), 2)).toEqual([]);
  expect(refusals(config({ storage: mib }), 2).map(({ flag }) => flag)).toEqual(["--storage-opt size"]);
  expect(refusals(config({ cpus: 3 }), 2).map(({ flag }) => flag)).toEqual(["--cpus"]);
  expect(refusals(config({}, Array(129).fill({ type: "bind" })), 2).map(({ flag }) => flag)).toEqual([
    "--volume",
  ]);
});

test("the TSC's frequency comes from bogomips", () => {
  expect(tscKhz("processor\t: 0\nbogomips\t: 5199.99\n")).toBe(2_599_995);
});
