import { expect, test } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readTar } from "./tar-read.ts";
import { tarEnd, tarFile, tarHeader } from "./tar-write.ts";
import { gather, parts, refusal, temporary, tool } from "./testing.ts";

async function members(bytes: Uint8Array, size = 1000) {
  const found: Record<string, string> = {};
  for await (const { name, type, link, body } of readTar(parts(bytes, size)))
    found[name] = type === "file" ? (await gather(body)).toString() : `${type} ${link}`;
  return found;
}
const read = (bytes: Uint8Array) => refusal(members(bytes));
const tarOf = (...all: Iterable<Uint8Array>[]) =>
  Buffer.concat([...all.flatMap((one) => [...one]), tarEnd()]);

/** A header with one field changed and the checksum made good again. */
function forged(at: number, field: Buffer | string, entry = { name: "x", size: 0 }): Buffer {
  const header = tarHeader(entry);
  header.set(Buffer.from(field as string), at);
  header.fill(0x20, 148, 156);
  const sum = header.reduce((all, byte) => all + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return header;
}

test.each(["gnu", "pax", "ustar"])("what GNU tar writes as %s", async (format) => {
  using folder = temporary();
  const deep = "d".repeat(90);
  mkdirSync(join(folder.path, deep));
  writeFileSync(join(folder.path, deep, "name-of-a-file"), "deep");
  writeFileSync(join(folder.path, "empty"), "");
  writeFileSync(join(folder.path, "big"), "x".repeat(5000));
  symlinkSync("../big", join(folder.path, "l"));
  const names = [`${deep}/name-of-a-file`, "empty", "big", "l"];
  const expected: Record<string, string> = {
    [names[0] as string]: "deep",
    empty: "",
    big: "x".repeat(5000),
    l: "symlink ../big",
  };
  if (format !== "ustar") {
    const long = "n".repeat(200);
    writeFileSync(join(folder.path, long), "long");
    names.push(long);
    expected[long] = "long";
  }
  const bytes = tool("tar", "-C", folder.path, `--format=${format}`, "-cf", "-", ...names);
  for (const size of [1, 511, 512, 1 << 20]) expect(await members(bytes, size)).toEqual(expected);
});

test("GNU tar reads what we write", () => {
  using folder = temporary();
  const path = join(folder.path, "x.tar");
  const bytes = tarOf(
    [tarHeader({ name: "d/", type: "folder", mode: 0o1777 })],
    tarFile({ name: "d/f", mode: 0o640 }, "hello"),
    [
      tarHeader({ name: "d/l", type: "symlink", link: "f" }),
      tarHeader({ name: "h", type: "link", link: "d/f" }),
    ],
  );
  writeFileSync(path, bytes);
  expect(tool("tar", "-tvf", path).toString()).toMatch(
    /^drwxrwxrwt .* d\/\n-rw-r----- 0\/0 +5 .* d\/f\nlrwxrwxrwx .* d\/l -> f\nh.* h link to d\/f\n$/,
  );
});

test("unread bodies are skipped", async () => {
  const names: string[] = [];
  for await (const { name } of readTar(
    parts(tarOf(tarFile({ name: "a" }, "x".repeat(2000)), tarFile({ name: "b" }, "y")), 700),
  ))
    names.push(name);
  expect(names).toEqual(["a", "b"]);
});

const good = tarOf(tarFile({ name: "a" }, "x".repeat(2000)));
test.each<[string, Uint8Array, string]>([
  ["nothing", Buffer.alloc(0), "truncated"],
  ["a cut header", good.subarray(0, 100), "truncated"],
  ["a cut body", good.subarray(0, 1500), "truncated"],
  ["a missing end", good.subarray(0, good.length - 1024), "truncated"],
  ["text", Buffer.from("hello ".repeat(200)), "no tar archive"],
  [
    "a wrong checksum",
    Buffer.concat([good.subarray(0, 10), Buffer.from("!"), good.subarray(11)]),
    "checksum",
  ],
  ["a negative size", forged(124, Buffer.alloc(12, 0xff)), "negative"],
  ["a huge size", forged(124, Buffer.concat([Buffer.from([0x80]), Buffer.alloc(11, 0xff)])), "too large"],
  ["a size in letters", forged(124, "12345678xyz\0"), "octal"],
  ["an octal minus", forged(124, "-0000000001\0"), "octal"],
  ["a huge extended header", forged(156, "x", { name: "x", size: 2 << 20 }), "extended header"],
  [
    "a pax record of length 0",
    tarOf([forged(156, "x", { name: "x", size: 5 }), Buffer.from("0 a=b".padEnd(512, "\0"))]),
    "malformed",
  ],
  [
    "a pax record too long",
    tarOf([forged(156, "x", { name: "x", size: 7 }), Buffer.from("99 a=b\n".padEnd(512, "\0"))]),
    "malformed",
  ],
  ["a sparse file", tarOf([forged(156, "S")]), "sparse"],
  ["much after the end", Buffer.concat([good, Buffer.alloc(17 << 20, 1)]), "follows"],
])("%s is refused", async (_, bytes, why) => {
  const { code, message } = await read(bytes);
  expect(message).toContain(why);
  expect(["corrupt", "unsupported"]).toContain(code);
});
