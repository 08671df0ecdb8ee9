import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { lstat, mkdir, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import Type from "typebox";
import Value from "typebox/value";
import { writeFileAtomic } from "../../lib/atomic.ts";
import { type Accelerator, type Guest, kernelCommandLine } from "./guest.ts";

const Verdict = Type.Object({
  key: Type.String(),
  accelerator: Type.Union([Type.Literal("kvm"), Type.Literal("tcg")]),
  /** Why not KVM; for people. */
  reason: Type.String(),
});
export type Verdict = Type.Static<typeof Verdict>;

/** Milliseconds that a guest under KVM may take to say `up`; a working one takes a fraction of a second. */
const probeLimit = 6_000;

/**
 * In front of the probe's QEMU: it dies with the thread that started it, and on its own CPU time if even that fails.
 * A guest that spins under a broken KVM would outlive a killed engine for ever.
 */
export const tied = [
  ...["/usr/bin/setpriv", "--pdeathsig", "KILL", "--"],
  ...["/usr/bin/prlimit", "--cpu=60", "--"],
];

/** Verdicts of this boot, for every engine of this machine: only root reaches them. */
const verdictFolder = "/run/gantry-host";

/**
 * Whether KVM runs our kernel here, found by running it: a /dev/kvm that exists proves nothing. The verdict is kept
 * for this boot of the host, this QEMU and this guest.
 */
export async function probeAccelerator(qemu: string, guest: Guest, folder = verdictFolder): Promise<Verdict> {
  const key = await probeKey(qemu, guest);
  const file = join(folder, `accelerator-${key.slice(0, 16)}.json`);
  const known = await readVerdict(file);
  if (known?.key === key) return known;
  const reason = await whyNotKvm(qemu, guest);
  const verdict: Verdict = { key, accelerator: reason === "" ? "kvm" : "tcg", reason };
  await keepVerdict(folder, file, verdict).catch((error: Error) =>
    console.error(`gantry: the accelerator's verdict cannot be kept in ${folder}: ${error.message}`),
  );
  return verdict;
}

async function keepVerdict(folder: string, file: string, verdict: Verdict): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFileAtomic(file, `${JSON.stringify(verdict)}\n`);
}

/** Undefined when there is none, or one that somebody else could have written. */
async function readVerdict(file: string): Promise<Verdict | undefined> {
  try {
    for (const path of [dirname(file), file]) {
      const { uid, mode } = await lstat(path);
      if (uid !== process.getuid?.() || (mode & 0o022) !== 0) return undefined;
    }
    const parsed: unknown = JSON.parse(await readFile(file, "utf8"));
    return Value.Check(Verdict, parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

async function probeKey(qemu: string, guest: Guest): Promise<string> {
  const [{ size, mtimeMs }, boot, cpu, device] = await Promise.all([
    stat(qemu),
    readFile("/proc/sys/kernel/random/boot_id", "utf8"),
    readFile("/proc/cpuinfo", "utf8").then((text) => text.split("\n\n")[0]!.replace(/^cpu MHz.*$/m, "")),
    stat("/dev/kvm").then(
      ({ rdev }) => String(rdev),
      () => "none",
    ),
  ]);
  return createHash("sha256")
    .update(JSON.stringify([qemu, size, mtimeMs, boot, cpu, device, guest.digest]))
    .digest("hex");
}

/** Empty when a guest came up under KVM. */
async function whyNotKvm(qemu: string, guest: Guest): Promise<string> {
  const device = await stat("/dev/kvm").catch(() => undefined);
  if (!device) return "this host has no /dev/kvm";
  const began = Date.now();
  const [program, ...rest] = [...tied, qemu, ...probeArguments(guest)];
  const child = spawn(program!, rest, { stdio: ["pipe", "pipe", "pipe"], env: { LANG: "C" } });
  let said = "";
  let complaint = "";
  const ended = Promise.withResolvers<string>();
  const timer = setTimeout(
    () => ended.resolve(`a kernel under KVM did not come up within ${probeLimit / 1000} s`),
    probeLimit,
  );
  child.stdout.on("data", (data: Buffer) => {
    said = (said + data.toString("latin1")).slice(-4096);
    if (said.includes('"up"')) ended.resolve("");
  });
  child.stderr.on("data", (data: Buffer) => {
    complaint = (complaint + data.toString("utf8")).slice(-4096);
  });
  child.stdin.on("error", () => {});
  child.once("error", (error) => ended.resolve(`QEMU cannot be run: ${error.message}`));
  const gone = new Promise<void>((resolve) => {
    child.once("close", (code, signal) => {
      const line = complaint.trim().split("\n").at(-1) || `status ${code ?? signal}`;
      ended.resolve(`QEMU under KVM ended after ${Date.now() - began} ms: ${line}`);
      resolve();
    });
    child.once("error", () => resolve());
  });
  const reason = await ended.promise;
  clearTimeout(timer);
  child.kill("SIGKILL");
  // A process that hangs in the kernel is waited for no longer than this.
  await Promise.race([gone, new Promise((resolve) => setTimeout(resolve, 5_000).unref())]);
  return reason;
}

const probeArguments = (guest: Guest): string[] => [
  ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
  ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
  ...["-machine", "q35,smm=off,sata=off,smbus=off,i8042=off,vmport=off,hpet=off,graphics=off"],
  ...["-accel", "kvm", "-cpu", "host", "-smp", "1", "-m", "256M"],
  ...["-kernel", guest.kernel, "-initrd", guest.initramfs, "-append", kernelCommandLine(guest, "kvm", 0)],
  ...["-chardev", "stdio,id=agent,signal=off", "-device", "virtio-serial-pci"],
  ...["-device", "virtserialport,chardev=agent,name=gantry.agent"],
];

/** For people: "QEMU 7.2.22, software emulation (why)". */
export const summarise = (
  version: string,
  { accelerator, reason }: { accelerator: Accelerator; reason: string },
): string =>
  accelerator === "kvm" ? `QEMU ${version}, KVM` : `QEMU ${version}, software emulation (${reason})`;
