import { afterEach, beforeEach, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LogLine } from "../ports/engine.ts";
import { LogReader, milliseconds, parseLine } from "./log-file.ts";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "log-"));
  path = join(folder, "log.json");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const entry = (log: string, stream = "stdout"): string =>
  `${JSON.stringify({ log, stream, time: "2026-01-02T03:04:05.123456789Z" })}\n`;
const collect = async (reader: LogReader): Promise<string[]> => {
  const got: string[] = [];
  for await (const line of reader.read()) got.push(Buffer.from(line.data).toString());
  return got;
};
const all = () => true;
const read = async (tail?: number, accept: (line: LogLine) => boolean = all): Promise<string[]> => {
  const reader = await LogReader.open(path, tail, accept);
  try {
    return await collect(reader);
  } finally {
    await reader.close();
  }
};

test("reads rotated files oldest first, and tails over them", async () => {
  writeFileSync(`${path}.2`, entry("a\n") + entry("b\n"));
  writeFileSync(`${path}.1`, entry("c\n") + entry("d\n"));
  writeFileSync(path, entry("e\n") + entry("f\n"));
  expect((await read()).join("")).toBe("a\nb\nc\nd\ne\nf\n");
  expect(await read(3)).toEqual(["d\n", "e\n", "f\n"]);
  expect(await read(2)).toEqual(["e\n", "f\n"]);
  expect(await read(0)).toEqual([]);
  expect((await read(100)).length).toBe(6);
});

test("tail agrees with the whole for every count, over chunk borders and long lines", async () => {
  const lines = Array.from({ length: 300 }, (_, n) => `${n} ${"x".repeat((n * 37) % 1500)}\n`);
  writeFileSync(path, lines.map((line) => entry(line)).join(""));
  for (const count of [1, 2, 42, 43, 44, 150, 299, 300, 301])
    expect(await read(count)).toEqual(lines.slice(-count));
});

test("pieces of one long line count once, an unfinished last line too", async () => {
  writeFileSync(
    path,
    entry("one\n") + entry("long, ") + entry("longer, ") + entry("done\n") + entry("prompt> "),
  );
  expect(await read(1)).toEqual(["prompt> "]);
  expect(await read(2)).toEqual(["long, ", "longer, ", "done\n", "prompt> "]);
});

test("only lines that count are counted", async () => {
  writeFileSync(path, entry("out\n") + entry("err\n", "stderr") + entry("err\n", "stderr"));
  expect((await read(1, (line) => line.stream === "stdout")).length).toBe(3);
});

test("a line cut by a crash is left out; bytes come back as they were", async () => {
  const raw = Buffer.from([0xff, 0x00, 0x80, 10]);
  const line = JSON.stringify({
    log: "\ufffd\u0000\ufffd\n",
    raw: raw.toString("base64"),
    stream: "stdout",
    time: "2026-01-02T03:04:05Z",
  });
  writeFileSync(path, `${entry("whole\n")}{"log":"cut\n${line}\n{"log":"still bei`);
  const reader = await LogReader.open(path, undefined, all);
  const got: Uint8Array[] = [];
  for await (const one of reader.read()) got.push(one.data);
  expect(got.map((data) => Buffer.from(data))).toEqual([Buffer.from("whole\n"), raw]);
  await reader.close();
});

test("reads on after more is written, through a rotation", async () => {
  const reader = await LogReader.open(path, undefined, all);
  expect(await collect(reader)).toEqual([]);
  writeFileSync(path, entry("1\n"));
  expect(await collect(reader)).toEqual(["1\n"]);
  appendFileSync(path, entry("2\n").slice(0, 10));
  expect(await collect(reader)).toEqual([]);
  appendFileSync(path, entry("2\n").slice(10) + entry("3\n"));
  renameSync(path, `${path}.1`);
  writeFileSync(path, entry("4\n"));
  expect(await collect(reader)).toEqual(["2\n", "3\n", "4\n"]);
  await reader.close();
});

test("times keep their nanoseconds", () => {
  expect(milliseconds("1970-01-01T00:00:01.5Z")).toBe(1500);
  expect(parseLine(entry("x").trim())?.time).toBeCloseTo(Date.parse("2026-01-02T03:04:05Z") + 123.456789, 3);
  expect(parseLine("{}")).toBeUndefined();
  expect(parseLine("nonsense")).toBeUndefined();
});
