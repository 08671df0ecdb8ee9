import { readFileSync } from "node:fs";
import { join } from "node:path";
import Type from "typebox";
import Value from "typebox/value";
import { GantryError } from "../../model/errors.ts";

const Part = Type.Object({ file: Type.String(), sha256: Type.String() });
const Manifest = Type.Object({
  packageVersion: Type.String(),
  release: Type.String(),
  kernel: Part,
  initramfs: Part,
  commandLine: Type.Array(Type.String()),
  commandLineTcg: Type.Array(Type.String()),
});

/** What a VM boots: `guest/` beside the program, made by scripts/build-guest. */
export interface Guest {
  kernel: string;
  initramfs: string;
  /** The kernel's `uname -r`. */
  release: string;
  /** Of kernel and initramfs together. */
  digest: string;
  commandLine: readonly string[];
  commandLineTcg: readonly string[];
}

/** Reads the manifest of the guest in `libexec`. Throws `unavailable` when it is missing or not one. */
export function loadGuest(libexec: string): Guest {
  const folder = join(libexec, "guest");
  const path = join(folder, "manifest.json");
  let manifest: unknown;
  try {
    manifest = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new GantryError(
      "unavailable",
      `the guest kernel is missing (${path} cannot be read); run ./scripts/setup`,
      { cause: error },
    );
  }
  if (!Value.Check(Manifest, manifest))
    throw new GantryError(
      "unavailable",
      `${path} is not a guest manifest; run ./scripts/build-guest --fresh`,
    );
  return {
    kernel: join(folder, manifest.kernel.file),
    initramfs: join(folder, manifest.initramfs.file),
    release: manifest.release,
    digest: `${manifest.kernel.sha256}-${manifest.initramfs.sha256}`,
    commandLine: manifest.commandLine,
    commandLineTcg: manifest.commandLineTcg,
  };
}

/** The kernel's command line. `khz` is the host's TSC frequency, which spares an emulated guest from measuring it. */
export function kernelCommandLine(guest: Guest, accelerator: Accelerator, khz: number): string {
  const tcg = guest.commandLineTcg.map((word) =>
    word.replace("{khz}", String(khz)).replace("{khz*4}", String(khz * 4)),
  );
  return [...guest.commandLine, ...(accelerator === "tcg" ? tcg : [])].join(" ");
}

export type Accelerator = "kvm" | "tcg";

/** The TSC frequency in kHz from /proc/cpuinfo: half its bogomips times 1000. */
export function tscKhz(cpuinfo: string): number {
  const bogomips = Number(/^bogomips\s*:\s*([\d.]+)/m.exec(cpuinfo)?.[1] ?? 4000);
  return Math.round((bogomips / 2) * 1000);
}
