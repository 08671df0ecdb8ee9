import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestEngine } from "../lib/engine.ts";

// SQLite's write-ahead log maps a file shared between processes: the mount that carries it must do that right.
const engine = new TestEngine();
const folder = mkdtempSync(join(tmpdir(), "gt-sqlite-"));
beforeAll(async () => {
  await engine.start();
  await engine.ok("image", "bootstrap", "debian", "--include", "sqlite3", "--name", "sqlite");
}, 300_000);
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

const writers = `
  sqlite3 /db/t.db 'pragma journal_mode=wal; create table t(w, i);' >/dev/null
  for w in 1 2 3; do
    (for i in 1 2 3 4 5 6 7 8 9 10; do sqlite3 -cmd '.timeout 20000' /db/t.db "insert into t values($w, $i)" || exit 1; done) &
  done
  wait
  sqlite3 /db/t.db 'select count(*) from t; pragma journal_mode; pragma integrity_check'`;

for (const wall of ["container", "vm"])
  for (const [where, flag] of [
    ["a host folder", join(folder, wall)],
    ["a named volume", `sqlite-${wall}`],
  ] as const)
    test(`${wall}: three writers with a write-ahead log on ${where}`, async () => {
      expect(
        await engine.ok(
          "run",
          "--rm",
          "--isolation",
          wall,
          "-v",
          `${flag}:/db`,
          "sqlite",
          "sh",
          "-c",
          writers,
        ),
      ).toBe("30\nwal\nok");
    }, 120_000);

test("a VM reads what a container wrote, and the other way round", async () => {
  for (const [writer, reader] of [
    ["container", "vm"],
    ["vm", "container"],
  ]) {
    const volume = `cross-${writer}`;
    await engine.ok(
      "run",
      "--rm",
      "--isolation",
      writer!,
      "-v",
      `${volume}:/db`,
      "sqlite",
      "sqlite3",
      "/db/x.db",
      "create table t(i); insert into t values(7)",
    );
    expect(
      await engine.ok(
        "run",
        "--rm",
        "--isolation",
        reader!,
        "-v",
        `${volume}:/db`,
        "sqlite",
        "sqlite3",
        "/db/x.db",
        "select i from t",
      ),
    ).toBe("7");
  }
}, 60_000);
