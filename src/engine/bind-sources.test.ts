import { afterAll, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkBinds, checkWayOf, writableSources } from "./bind-sources.ts";

const base = realpathSync(mkdtempSync(join(tmpdir(), "gantry-binds-")));
const shared = join(base, "shared");
afterAll(() => rmSync(base, { recursive: true }));
beforeEach(() => {
  rmSync(base, { recursive: true });
  mkdirSync(join(shared, "inside/deep"), { recursive: true });
  mkdirSync(join(base, "outside"));
});
const bind = (source: string, createSource = true) => ({
  source,
  target: "/t",
  readOnly: false,
  createSource,
});

test("a link that a workload may have put there is not followed out of what it may write", () => {
  symlinkSync("/", join(shared, "root"));
  symlinkSync("../outside", join(shared, "beside"));
  symlinkSync(join(shared, "root"), join(shared, "inside/chain"));
  for (const name of [
    "root",
    "root/etc",
    "beside",
    "inside/chain",
    "inside/chain/etc/passwd",
    "root/no/such",
  ])
    expect(() => checkWayOf(join(shared, name), [shared])).toThrow(`from ${shared}`);
  // By another name of the shared folder, too.
  symlinkSync(shared, join(base, "alias"));
  expect(() => checkWayOf(join(base, "alias/root"), [shared])).toThrow("leads by a link");
  expect(() => checkWayOf(join(shared, "root"), [join(base, "alias")])).toThrow("leads by a link");
});

test("nothing is made at the end of such a link", () => {
  symlinkSync(join(base, "outside"), join(shared, "l"));
  symlinkSync(join(base, "outside/missing"), join(shared, "dangling"));
  expect(() => checkBinds([bind(join(shared, "l/new"))], [shared])).toThrow("leads by a link");
  expect(() => checkBinds([bind(join(shared, "dangling"))], [shared])).toThrow("missing");
  expect(() => checkBinds([bind(join(shared, "dangling/x"))], [shared])).toThrow("missing");
  expect(existsSync(join(base, "outside/new"))).toBe(false);
  expect(existsSync(join(base, "outside/missing"))).toBe(false);
});

test("links that stay inside, and those in folders that nobody writes, are followed", () => {
  symlinkSync("inside", join(shared, "current"));
  symlinkSync(join(base, "outside"), join(base, "mine"));
  for (const path of [shared, join(shared, "current/deep"), join(base, "mine"), join(shared, "not/yet"), "/"])
    checkWayOf(path, [shared]);
  checkWayOf(join(base, "mine"), [join(base, "mine")]);
  checkWayOf(join(base, "missing/x"), [join(base, "missing")]);
  checkBinds([bind(join(shared, "new/folder"))], [shared]);
  expect(existsSync(join(shared, "new/folder"))).toBe(true);
  expect(() => checkBinds([bind(join(shared, "nothing"), false)], [])).toThrow("does not exist");
});

test("what workloads may write: this instance's and all others' binds", () => {
  const mounts = [
    { type: "bind", source: "/a", readOnly: false },
    { type: "bind", source: "/b", readOnly: true },
    { type: "volume", source: "v", readOnly: false },
  ];
  expect(
    writableSources([bind("/own"), { ...bind("/ro"), readOnly: true }], [{ config: { mounts } } as never]),
  ).toEqual(["/own", "/a"]);
});
