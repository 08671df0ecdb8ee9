import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Entry, padding, writeHeader } from "./header.ts";
import { extractTar } from "./process.ts";
import { renamer } from "./rename.ts";
import { rewriteTar } from "./rewrite.ts";

/** What a guest may send as the folder "d" that a user copies out of it. */
const entry = (name: string, type: string, linkName = "", content = ""): Buffer => {
  const size = content.length;
  const header: Entry = { name, type, linkName, size, mode: 0o6777, uid: 0, gid: 0, mtime: 0 };
  return Buffer.concat([writeHeader(header), Buffer.from(content), Buffer.alloc(padding(size))]);
};
const folder = entry("d/", "5");
const link = (name: string, to: string) => entry(name, "2", to);
const file = (name: string) => entry(name, "0", "", "evil");

/** Unpacks as `gantry cp VM:/d HERE` does; nothing may appear beside HERE. */
async function copyOut(members: (outside: string) => Buffer[]): Promise<string> {
  const base = mkdtempSync(join(tmpdir(), "gantry-cp-"));
  try {
    const outside = join(base, "outside");
    mkdirSync(outside);
    mkdirSync(join(base, "here"));
    const source = async function* () {
      yield* members(outside);
      yield Buffer.alloc(1024);
    };
    const rules = renamer({ base: "d", to: "d", archive: false, leftOut: () => {} });
    const error = await extractTar(join(base, "here"), rewriteTar(source(), rules), false).then(
      () => "",
      (thrown: Error) => thrown.message,
    );
    expect(readdirSync(outside)).toEqual([]);
    expect(readdirSync(base).sort()).toEqual(["here", "outside"]);
    return error;
  } finally {
    rmSync(base, { recursive: true });
  }
}

const attacks: [name: string, members: (outside: string) => Buffer[]][] = [
  ["through an absolute link", (outside) => [folder, link("d/l", outside), file("d/l/evil")]],
  ["through a relative link", () => [folder, link("d/l", "../../outside"), file("d/l/evil")]],
  [
    "through a chain of links",
    () => [folder, link("d/a", ".."), link("d/b", "a/.."), link("d/c", "b/outside"), file("d/c/evil")],
  ],
  ["with a link for the folder itself", (outside) => [link("d", outside), file("d/evil")]],
  [
    "with a link in a folder's place",
    (outside) => [folder, entry("d/l/", "5"), link("d/l", outside), file("d/l/evil")],
  ],
  [
    "by a hard link to a link",
    (outside) => [folder, link("d/l", outside), entry("d/h", "1", "d/l"), file("d/h/evil")],
  ],
  ["by ..", () => [folder, file("d/../../outside/evil")]],
  ["by an absolute name", (outside) => [folder, file(`${outside}/evil`)]],
  ["by a hard link to the outside", (outside) => [folder, entry("d/h", "1", `${outside}/x`)]],
];
for (const [name, members] of attacks)
  test(`a copied folder does not write outside ${name}`, async () => {
    expect(await copyOut(members)).not.toBe("");
  });

test("a file with the name of a link is not written through it", async () => {
  await copyOut((outside) => [folder, link("d/l", `${outside}/evil`), file("d/l")]);
});
