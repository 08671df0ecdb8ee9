import { expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { probeAccelerator, tied } from "./accelerator.ts";
import { loadGuest } from "./guest.ts";

test("what the probe starts dies with the engine, also by SIGKILL", async () => {
  const source = `
    const { spawn } = require("node:child_process");
    const [program, ...rest] = ${JSON.stringify([...tied, "/bin/sh", "-c", "echo $$; exec sleep 1000"])};
    spawn(program, rest, { stdio: ["ignore", "inherit", "inherit"] });`;
  const engine = spawn(process.execPath, ["-e", source], { stdio: ["ignore", "pipe", "inherit"] });
  const pid = await new Promise<number>((resolve) =>
    engine.stdout.once("data", (data: Buffer) => resolve(Number(data.toString()))),
  );
  expect(existsSync(`/proc/${pid}`)).toBe(true);
  engine.kill("SIGKILL");
  for (const until = Date.now() + 10_000; existsSync(`/proc/${pid}`); await Bun.sleep(10))
    if (Date.now() > until) throw new Error(`process ${pid} outlives the engine`);
}, 20_000);

test("the verdict is kept where only root reaches it, and one that others could have written counts for nothing", async () => {
  const base = mkdtempSync("/tmp/gantry-accelerator-");
  const folder = join(base, "kept");
  try {
    const guest = loadGuest(join(import.meta.dir, "../../../build"));
    const qemu = "/bin/false"; // a verdict within milliseconds, and always the same
    const first = await probeAccelerator(qemu, guest, folder);
    const [name] = readdirSync(folder);
    const forged = { ...first, reason: "forged" };
    const write = (mode: number) => {
      rmSync(join(folder, name!));
      writeFileSync(join(folder, name!), JSON.stringify(forged), { mode });
    };
    write(0o600);
    expect((await probeAccelerator(qemu, guest, folder)).reason).toBe("forged");
    process.umask(0);
    write(0o666);
    process.umask(0o022);
    expect((await probeAccelerator(qemu, guest, folder)).accelerator).toBe(first.accelerator);
    const kept = await Bun.file(join(folder, name!)).json();
    expect(kept.reason).not.toBe("forged");
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
}, 60_000);
