import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Isolation } from "../../src/model/isolation.ts";
import { TestEngine } from "../lib/engine.ts";
import type { Snapshot } from "../lib/oracle.ts";
import type { Bench, Case } from "./case.ts";

/** Runs each case behind `wall` against one engine; after each, the oracle must find the machine as before. */
export function runTable(wall: Isolation, cases: Case[]): void {
  describe(`behind the wall "${wall}"`, () => {
    const engine = new TestEngine();
    let before: Snapshot;
    beforeAll(async () => {
      await engine.start();
      await engine.ok("image", "bootstrap", "busybox");
      // A follower first: the runtime's file watcher is made once and kept.
      await engine.ok("run", "-d", "--name", "first", "busybox", "true");
      await engine.ok("logs", "-f", "first");
      await engine.ok("rm", "-f", "first");
      // One run first: what is made once and kept (bridge, table, unpacked layers, disks) belongs to the baseline.
      for (const each of ["container", "vm"])
        await engine.ok("run", "--rm", "--isolation", each, "busybox", "true");
      // An empty file system of each size is made once, too.
      await engine.ok("run", "--rm", "--vm", "--storage-opt", "size=64m", "busybox", "true");
      before = engine.baseline();
    }, 120_000);
    afterAll(() => engine[Symbol.asyncDispose](), 60_000);

    for (const { name, run } of cases)
      test(name, async () => {
        const folder = mkdtempSync(join(tmpdir(), "gt-case-"));
        const flags = ["--isolation", wall];
        const bench: Bench = {
          engine,
          wall,
          flags,
          folder,
          g: (...args) => engine.cli(...args),
          gWith: (options, ...args) => engine.cliWith(options, ...args),
          ok: (...args) => engine.ok(...args),
          run: (...args) => engine.cli("run", "--rm", ...flags, ...args),
          up: (...args) => engine.ok("run", "-d", ...flags, ...args),
        };
        try {
          await run(bench);
        } finally {
          const left = (await engine.cli("ps", "-aq")).stdout.split("\n").filter(Boolean);
          if (left.length > 0) await engine.cli("rm", "-f", "-v", ...left);
          const volumes = (await engine.cli("volume", "ls", "-q")).stdout.split("\n").filter(Boolean);
          if (volumes.length > 0) await engine.cli("volume", "rm", ...volumes);
          rmSync(folder, { recursive: true, force: true });
        }
        expect(await engine.leaks(before)).toEqual([]);
      }, 120_000);
  });
}
