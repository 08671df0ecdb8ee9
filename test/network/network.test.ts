import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";

/**
 * Each file of inside/ runs in a network and mount namespace of its own: it may flush rules, drop forwarding and
 * take ports without touching the machine, and what it leaves goes with it.
 */
const folder = join(import.meta.dir, "inside");

for (const file of readdirSync(folder).filter((name) => name.endsWith(".inside.ts")))
  test(`network: ${file.replace(".inside.ts", "")}`, () => {
    const { status, stdout, stderr } = spawnSync(
      "unshare",
      [
        "--net",
        "--mount",
        "--propagation",
        "private",
        "--",
        process.execPath,
        "test",
        "--timeout",
        "60000",
        `./${join("inside", file)}`,
      ],
      { cwd: import.meta.dir, encoding: "utf8", timeout: 170_000 },
    );
    if (status !== 0 || process.env.VERBOSE) console.log(stdout, stderr);
    expect(stderr).toMatch(/^\s*[1-9]\d* pass$/m);
    expect(status).toBe(0);
  }, 180_000);
