import { afterEach, beforeEach, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newId } from "../model/ids.ts";
import type { InstanceRecord } from "../model/instance.ts";
import { openDatabase } from "./database.ts";
import { lockRoot } from "./lock.ts";
import { schemaVersion } from "./schema.ts";
import { checkState, openState } from "./state.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "state-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function record(name: string, id = newId(), project = "default"): InstanceRecord {
  return {
    id,
    project,
    name,
    config: { image: "x" } as InstanceRecord["config"],
    imageDigest: "sha256:0",
    state: "created",
    sandboxId: id,
    createdAt: 1,
    oomKilled: false,
    generation: 0,
    restartCount: 0,
    stoppedByUser: false,
    volumes: [],
  };
}

test("records come back as they were put, also after reopening", () => {
  const first = openState(root);
  const made = record("web");
  first.instances.put(made);
  first.sandboxes.put({ id: made.id, project: "default", isolation: "vm", uid: 710000 });
  first.setSetting("uid-base", "710000");
  first.close();
  const second = openState(root);
  expect(second.instances.get(made.id)).toEqual(made);
  expect(second.sandboxes.all()).toEqual([{ id: made.id, project: "default", isolation: "vm", uid: 710000 }]);
  expect(second.setting("uid-base")).toBe("710000");
  expect(statSync(join(root, "state.db")).mode & 0o777).toBe(0o600);
  second.close();
  expect(checkState(root)).toBe("ok");
});

test("a name is unique within its project only", () => {
  const state = openState(root);
  const holder = record("web");
  state.instances.put(holder);
  expect(() => state.instances.put(record("web"))).toThrow(holder.id.slice(0, 12));
  state.instances.put(record("web", newId(), "other"));
  expect(state.nameTaken("other", "web")).toBe(true);
  expect(state.nameTaken("third", "web")).toBe(false);
  state.close();
});

test("finds by id, name and prefix; refuses an ambiguous prefix and the unknown", () => {
  const state = openState(root);
  const a = record("one", `aa${"0".repeat(62)}`);
  const b = record("two", `ab${"0".repeat(62)}`);
  state.instances.put(a);
  state.instances.put(b);
  expect(state.findInstance("default", a.id).name).toBe("one");
  expect(state.findInstance("default", "two").id).toBe(b.id);
  expect(state.findInstance("default", "ab0").id).toBe(b.id);
  expect(() => state.findInstance("default", "a")).toThrow("several ids");
  expect(() => state.findInstance("default", "nope")).toThrow("no such instance");
  expect(() => state.findInstance("other", "one")).toThrow("no such instance");
  state.close();
});

test("a transaction that throws leaves nothing", () => {
  const state = openState(root);
  expect(() =>
    state.transaction(() => {
      state.instances.put(record("half"));
      throw new Error("stop");
    }),
  ).toThrow("stop");
  expect(state.instances.all()).toEqual([]);
  state.close();
});

test("refuses a file that is no database and a schema of the future", () => {
  writeFileSync(join(root, "state.db"), "this is not a database, not at all. ".repeat(100));
  expect(() => openState(root)).toThrow("damaged");
  rmSync(join(root, "state.db"));
  openState(root).close();
  const db = openDatabase(join(root, "state.db"));
  db.run("UPDATE schema SET version = ?", schemaVersion + 1);
  db.close();
  expect(() => openState(root)).toThrow("newer gantry");
});

const bun = process.execPath;
const here = import.meta.dir;

test("a root has one engine; its lock dies with it", async () => {
  const child = spawn(
    bun,
    [
      "-e",
      `import {lockRoot} from "${here}/lock.ts"; lockRoot(process.argv[1]); console.log("held"); setInterval(()=>{},1e3)`,
      root,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  await new Promise((resolve) => child.stdout.once("data", resolve));
  try {
    expect(() => lockRoot(root)).toThrow(`pid ${child.pid}`);
  } finally {
    child.kill("SIGKILL");
  }
  await new Promise((resolve) => child.once("exit", resolve));
  const lock = lockRoot(root);
  lock.release();
});

test("every acknowledged write is there after kill -9", async () => {
  const program = `
    import { openState } from "${here}/state.ts";
    const state = openState(process.argv[1]);
    for (let n = 0; ; n++) { state.setSetting("n" + n, "v"); require("fs").writeSync(1, n + "\\n"); }`;
  const child = spawn(bun, ["-e", program, root], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.on("data", (part) => {
    text += part;
    if (text.split("\n").length > 40) child.kill("SIGKILL");
  });
  await new Promise((resolve) => child.once("close", resolve));
  const acknowledged = text.split("\n").slice(0, -1).map(Number);
  expect(acknowledged.length).toBeGreaterThan(30);
  const state = openState(root);
  for (const n of acknowledged) expect(state.setting(`n${n}`)).toBe("v");
  state.close();
});
