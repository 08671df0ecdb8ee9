import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

// Imports go one way: model ← lib ← ports ← {leaf rooms, engine} ← wiring; adapters see only the engine's interface.
const base = ["model", "lib", "ports"];
const allowed: Record<string, string[]> = {
  model: ["model"],
  lib: ["model", "lib"],
  ports: base,
  engine: [...base, "engine"],
  image: [...base, "image"],
  "isolation/container": [...base, "isolation/container"],
  "isolation/vm": [...base, "isolation/vm"],
  network: [...base, "network"],
  volume: [...base, "volume"],
  supervisor: [...base, "supervisor"],
  state: [...base, "state"],
  api: [...base, "api"],
  client: [...base, "client"],
  cli: [...base, "client", "cli"],
  measure: [...base, "measure"],
};
const room = (file: string): string | undefined =>
  Object.keys(allowed).find((name) => file.startsWith(`${name}/`));

test("imports between rooms go one way", () => {
  const broken: string[] = [];
  let seen = 0;
  for (const entry of readdirSync(import.meta.dir, { recursive: true, encoding: "utf8" })) {
    const from = room(entry);
    if (from === undefined || !entry.endsWith(".ts") || entry.endsWith(".test.ts")) continue;
    const text = readFileSync(join(import.meta.dir, entry), "utf8");
    for (const [, path] of text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)) {
      seen++;
      const target = relative(import.meta.dir, resolve(import.meta.dir, dirname(entry), path!));
      const to = room(target);
      if (to === undefined && target.startsWith("..")) continue; // package.json
      if (to === undefined || !allowed[from]!.includes(to)) broken.push(`${entry} -> ${target}`);
    }
  }
  expect(seen).toBeGreaterThan(50);
  expect(broken).toEqual([]);
});
