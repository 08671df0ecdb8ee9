import { expect, test } from "bun:test";
import { join } from "node:path";
import { temporary, tool } from "../../src/image/testing.ts";

test("a full disk is told as exhausted, at every step, and leaves nothing", () => {
  using folder = temporary();
  const script = 'mount -t tmpfs -o size=16m,mode=700 tmpfs "$1" && exec "$2" "$3" "$1"';
  const arguments_ = ["full-disk", folder.path, process.execPath, join(import.meta.dir, "full-disk.ts")];
  const out = tool("unshare", "--mount", "sh", "-c", script, ...arguments_).toString();
  const results = JSON.parse(out);
  for (const step of ["staging", "unpacking", "load", "disk"]) {
    expect({ step, ...results[step] }).toMatchObject({ step, code: "exhausted", same: true });
    expect(results[step].message).not.toContain("\n");
  }
  expect(results.after).toBe(1);
  expect(results.kept).toBe(true);
}, 60_000);
