import { expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { layerFile } from "../../src/isolation/vm/layer.ts";
import { sandboxFolder } from "../../src/lib/paths.ts";
import { Bed, cgroupsOf, processesWith } from "./bed.ts";

test("a guest that does not come up is tried twice, then its console's end is the error; nothing is left", async () => {
  await using bed = new Bed();
  // The kernel is real, the initramfs is not one: the kernel panics and leaves by a reset.
  const libexec = join(bed.folder, "libexec");
  mkdirSync(libexec);
  cpSync(join(bed.paths.libexec, "gantry-supervisor"), join(libexec, "gantry-supervisor"));
  cpSync(join(bed.paths.libexec, "guest"), join(libexec, "guest"), { recursive: true });
  writeFileSync(join(libexec, "guest/initramfs"), "not an archive");
  await using broken = new Bed({ libexec });
  const made = broken.record(["true"]);
  const failure = await broken.start(made).then(
    () => undefined,
    (error: Error & { code: string }) => error,
  );
  expect(failure?.code).toBe("unavailable");
  expect(failure?.message).toMatch(/shut down while booting.*console ended with: .*panic/i);
  expect(failure?.message).not.toContain("\n");
  const log = readFileSync(join(sandboxFolder(broken.paths, made.sandbox.id), "supervisor.log"), "utf8");
  expect(log.match(/trying again/g)).toHaveLength(1);
  expect(processesWith(made.record.id.slice(0, 12))).toEqual([]);
  expect(cgroupsOf(broken.paths.tag)).toEqual([]);
  await broken.backend.close(made.sandbox);
  expect(existsSync(sandboxFolder(broken.paths, made.sandbox.id))).toBe(false);
}, 120_000);

test("a disk that is a link, and a tap that is not there, are refused by name", async () => {
  await using bed = new Bed();
  const linked = bed.record(["true"]);
  await bed.backend.createLayer(linked.record, undefined as never);
  const layer = layerFile(bed.paths, linked.record.id);
  renameSync(layer, `${layer}.real`);
  symlinkSync(`${layer}.real`, layer);
  await expect(bed.start(linked)).rejects.toThrow(/open disk .*layer\.raw/);

  const lost = bed.record(["true"], { network: "nat" });
  const attachment = {
    sandboxId: lost.sandbox.id,
    mode: "nat" as const,
    end: "tap" as const,
    tap: "gantrynone0",
    address: "10.1.1.2",
    prefix: 24,
    gateway: "10.1.1.1",
    mac: "02:00:00:00:00:01",
    ports: [],
  };
  await expect(bed.start(lost, attachment)).rejects.toThrow("there is no tap link gantrynone0");
}, 60_000);
