import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createImages } from "../../src/image/index.ts";
import { supervisors, temporary } from "../../src/image/testing.ts";

const rounds = 8;

/** Ends the process group of a writer that has just been killed: its compressors and unpackers go by themselves. */
const settle = () => Bun.sleep(150);

test("SIGKILL in the middle of writes loses nothing acknowledged and leaves nothing half made", async () => {
  using root = temporary();
  const named = new Set<string>();
  const doubtful = new Set<string>();
  for (let round = 0; round < rounds; round++) {
    const writer = Bun.spawn([process.execPath, join(import.meta.dir, "writer.ts"), root.path, `${round}`], {
      stdout: "pipe",
      stderr: "inherit",
    });
    setTimeout(() => writer.kill(9), 300 + Math.random() * 700);
    for (const line of (await new Response(writer.stdout).text()).split("\n")) {
      if (line.startsWith("+")) named.add(line.slice(1));
      if (line.startsWith("-")) {
        named.delete(line.slice(1));
        doubtful.add(line.slice(1));
      }
    }
    expect(await writer.exited).not.toBe(0);
    await settle();

    const images = createImages({ paths: { root: root.path }, supervisors, usage: () => new Map() });
    await images.reconcile();
    const list = (await images.list("default")).map(({ name }) => name as string);
    for (const name of named) expect(list).toContain(name);
    for (const name of list) {
      const image = await images.resolve("default", name);
      const [layer] = await image.layers();
      const word = name.slice(name.indexOf(":") + 1);
      expect(readFileSync(join(layer as string, "word"), "utf8")).toBe(word);
      expect(readFileSync(join(layer as string, "fill"), "utf8")).toBe(word.repeat(20_000));
    }
    await images.collect(new Set());
    const blobs = readdirSync(join(root.path, "images/blobs/sha256"));
    for (const blob of blobs)
      expect(
        createHash("sha256")
          .update(readFileSync(join(root.path, "images/blobs/sha256", blob)))
          .digest("hex"),
      ).toBe(blob);
    expect(blobs.length).toBe(list.length * 3);
    expect(readdirSync(join(root.path, "layers")).length).toBe(list.length);
    expect(readdirSync(join(root.path, "images")).sort()).toEqual(["blobs", "index.json", "oci-layout"]);
  }
  expect(named.size).toBeGreaterThan(rounds);
}, 60_000);
