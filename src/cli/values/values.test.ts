import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DetachKeys, parseDetachKeys } from "../detach-keys.ts";
import { parseEnv, parseFilters } from "./env.ts";
import { parseTmpfs, parseVolume } from "./mount.ts";
import { parsePort, showPort } from "./port.ts";
import { parseSize } from "./size.ts";
import { parseTime } from "./time.ts";

describe("ports", () => {
  const good: [string, string[]][] = [
    ["80", ["0.0.0.0:0->80/tcp"]],
    ["8080:80", ["0.0.0.0:8080->80/tcp"]],
    ["53:53/udp", ["0.0.0.0:53->53/udp"]],
    ["127.0.0.1:8080:80", ["127.0.0.1:8080->80/tcp"]],
    ["127.0.0.1::80", ["127.0.0.1:0->80/tcp"]],
    ["[::1]:8080:80/tcp", ["[::1]:8080->80/tcp"]],
    ["8000-8002:80-82", ["0.0.0.0:8000->80/tcp", "0.0.0.0:8001->81/tcp", "0.0.0.0:8002->82/tcp"]],
    ["80-81", ["0.0.0.0:0->80/tcp", "0.0.0.0:0->81/tcp"]],
  ];
  test.each(good)("%s", (text, shown) => {
    expect(parsePort(text).map(showPort)).toEqual(shown);
  });
  test.each([
    "",
    ":",
    "80:",
    "0:80",
    "70000",
    "80:70000",
    "81-80",
    "80-82:80-81",
    "8000-8010:80",
    "x:80",
    "1.2.3.4.5:80:80",
    "80/icmp",
    "80/sctp",
    "1:2:3:4",
    "[::1:80:80",
    "-1",
  ])("%j is refused", (text) => {
    expect(() => parsePort(text)).toThrow();
  });
});

describe("volumes", () => {
  test("paths are absolute or relative to here", () => {
    expect(parseVolume("./a:/t", "/here")).toMatchObject({ type: "bind", source: "/here/a", target: "/t" });
    expect(parseVolume("../a:/t:rw,z", "/here/x")).toMatchObject({ source: "/here/a", readOnly: false });
    expect(parseVolume(".:/t//u/../v/", "/here")).toMatchObject({ source: "/here", target: "/t/v" });
  });
  test("names are volumes", () => {
    expect(parseVolume("data:/t:ro,nocopy")).toEqual({
      type: "volume",
      source: "data",
      target: "/t",
      readOnly: true,
      noCopy: true,
    });
  });
  test.each(["", "a:b", "/a:/", "/a:b", "a/b:/t", "/a:/t:zz", "/a:/t:shared", "/a:/b:/c:ro", "~/x:/t"])(
    "%j is refused",
    (text) => {
      expect(() => parseVolume(text)).toThrow();
    },
  );
  test("tmpfs", () => {
    expect(parseTmpfs("/t")).toEqual({ type: "tmpfs", target: "/t", options: [] });
    expect(parseTmpfs("/t:rw,size=1k,uid=5")).toMatchObject({ size: 1024, options: ["uid=5"] });
    expect(() => parseTmpfs("/t:bogus")).toThrow("bogus");
    expect(() => parseTmpfs("t")).toThrow("absolute");
  });
});

describe("sizes", () => {
  test.each([
    ["512", 512],
    ["1k", 1024],
    ["1kb", 1024],
    ["1KiB", 1024],
    ["1.5m", 1572864],
    ["2G", 2 ** 31],
    ["1t", 2 ** 40],
  ] as [string, number][])("%s", (text, bytes) => {
    expect(parseSize("-m", text)).toBe(bytes);
  });
  test.each(["", "m", "-1", "1x", "1e3", "1mm", "99999999p", "1 2"])("%j is refused", (text) => {
    expect(() => parseSize("-m", text)).toThrow("-m takes a size");
  });
});

describe("environment", () => {
  test("files first, then words; a bare name is taken from here", () => {
    const folder = mkdtempSync(join(tmpdir(), "gantry-env-"));
    try {
      const file = join(folder, "env");
      writeFileSync(file, "# comment\nA=1\n  B=two words \n\nHERE\nABSENT\r\n");
      const own = { HERE: "yes", PATH: "/bin" };
      expect(parseEnv([file], ["A=2", "PATH", "ABSENT", "EMPTY="], own)).toEqual([
        "A=1",
        "B=two words ",
        "HERE=yes",
        "A=2",
        "PATH=/bin",
        "EMPTY=",
      ]);
      writeFileSync(file, "not a name=1\n");
      expect(() => parseEnv([file], [], own)).toThrow("line 1");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
  test("filters", () => {
    expect(parseFilters(["a=1", "a=2", "b=x=y"], ["a", "b"])).toEqual({ a: ["1", "2"], b: ["x=y"] });
    expect(() => parseFilters(["c=1"], ["a"])).toThrow("--filter");
    expect(() => parseFilters(["a"], ["a"])).toThrow("--filter");
  });
});

describe("times", () => {
  const now = Date.parse("2026-01-02T00:00:00Z");
  test.each([
    ["10m", now - 600_000],
    ["1h30m", now - 5_400_000],
    ["0s", now],
    ["1767312000", 1767312000_000],
    ["1767312000.5", 1767312000_500],
    ["2026-01-02T03:04:05Z", Date.parse("2026-01-02T03:04:05Z")],
    ["2026-01-02T03:04:05.123456789+01:00", Date.parse("2026-01-02T02:04:05.123Z")],
    ["2026-01-02T03:04Z", Date.parse("2026-01-02T03:04:00Z")],
  ] as [string, number][])("%s", (text, moment) => {
    expect(parseTime("--since", text, now)).toBe(moment);
  });
  test.each(["", "soon", "2026", "2026-13-01", "10", "10x"])("%j", (text) => {
    // A bare number is a Unix time; everything else that is none is refused.
    if (/^\d+$/.test(text)) expect(parseTime("--since", text, now)).toBe(Number(text) * 1000);
    else expect(() => parseTime("--since", text, now)).toThrow("--since takes a time");
  });
});

describe("detach keys", () => {
  test("are parsed", () => {
    expect(parseDetachKeys("ctrl-p,ctrl-q")).toEqual([16, 17]);
    expect(parseDetachKeys("a,ctrl-[,ctrl-@")).toEqual([97, 27, 0]);
    expect(() => parseDetachKeys("ctrl-ä")).toThrow();
    expect(() => parseDetachKeys("")).toThrow();
  });
  test("are found across pieces, and what is not them is passed on", () => {
    const keys = new DetachKeys([16, 17]);
    expect(keys.push(Buffer.from("ab\x10"))).toEqual({ pass: Buffer.from("ab"), detached: false });
    expect(keys.push(Buffer.from("c\x10"))).toEqual({ pass: Buffer.from("\x10c"), detached: false });
    expect(keys.push(Buffer.from("\x10"))).toEqual({ pass: Buffer.from("\x10"), detached: false });
    expect(keys.push(Buffer.from("\x11rest"))).toEqual({ pass: Buffer.alloc(0), detached: true });
  });
});
