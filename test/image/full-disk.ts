// Run in a mount namespace of its own by full-disk.test.ts: fills a small file system and prints what happened.

import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createImages } from "../../src/image/index.ts";
import { tarEnd, tarFile } from "../../src/image/tar-write.ts";
import { gather, parts, refusal, supervisors } from "../../src/image/testing.ts";

const root = process.argv[2] as string;
const images = createImages({ paths: { root }, supervisors, usage: () => new Map() });
const tarOf = (size: number) => Buffer.concat([...tarFile({ name: "fill" }, randomBytes(size)), tarEnd()]);
const left = () =>
  ["images/.staging", "images/blobs/sha256", "layers", "disks"].flatMap((folder) =>
    existsSync(join(root, folder)) ? readdirSync(join(root, folder)).map((name) => join(folder, name)) : [],
  );
const small = await images.import("default", parts(tarOf(1 << 20)), { name: "small" });
const archive = await gather(await images.save("default", ["small"], "docker-archive"));
const kept = left();
const results: Record<string, unknown> = {};
const attempt = async (what: string, run: () => Promise<unknown>) => {
  results[what] = {
    ...(await refusal(run())),
    same: JSON.stringify(left().sort()) === JSON.stringify(kept.sort()),
  };
};
const ballast = join(root, "ballast");
/** Space of files that a killed child had open comes back a moment after it. */
const fill = async (bytes: number) => {
  for (let tries = 20; ; tries--)
    try {
      return writeFileSync(ballast, Buffer.alloc(bytes));
    } catch (error) {
      if (tries === 0) throw error;
      await Bun.sleep(100);
    }
};
await attempt("staging", () => images.import("default", parts(tarOf(32 << 20)), { name: "big" }));
await attempt("unpacking", () => images.import("default", parts(tarOf(9 << 20)), { name: "big" }));
await fill(27 << 19);
await attempt("load", () => images.load("other", parts(archive)));
await attempt("disk", async () => (await images.resolve("default", "small")).disk());
rmSync(ballast);
await images.load("other", parts(archive));
results.after = (await images.list("other")).length;
results.kept = (await images.resolve("default", "small")).digest === small.digest;
console.log(JSON.stringify(results));
