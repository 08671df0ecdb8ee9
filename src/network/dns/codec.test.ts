import { expect, test } from "bun:test";
import {
  encodeAnswer,
  encodeFormatError,
  encodeName,
  isReplyTo,
  parseQuery,
  Rcode,
  readName,
  Type,
} from "./codec.ts";

const header = (counts = [1, 0, 0, 0], flags = 0x0100) => {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt16BE(0xbeef, 0);
  bytes.writeUInt16BE(flags, 2);
  for (const [n, count] of counts.entries()) bytes.writeUInt16BE(count, 4 + 2 * n);
  return bytes;
};
const question = (name: string, type = 1) => Buffer.concat([encodeName(name)!, Buffer.from([0, type, 0, 1])]);
const opt = Buffer.from([0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]);
const message = (name: string, type = 1) => Buffer.concat([header(), question(name, type)]);

test("a query is read, its name in lower case", () => {
  const query = parseQuery(message("WWW.Example.ORG", 28))!;
  expect(query).toMatchObject({
    id: 0xbeef,
    opcode: 0,
    recursionDesired: true,
    name: "www.example.org",
    type: 28,
    class: 1,
    edns: false,
  });
  expect(query.question.toString("latin1")).toContain("Example");
  expect(parseQuery(Buffer.concat([header([1, 0, 0, 1]), question("a"), opt]))!.edns).toBe(true);
  expect(parseQuery(message(""))!.name).toBe("");
});

test("what is no query with one question is none", () => {
  expect(parseQuery(Buffer.alloc(0))).toBeUndefined();
  expect(parseQuery(header())).toBeUndefined();
  expect(parseQuery(Buffer.concat([header([1, 0, 0, 0], 0x8000), question("a")]))).toBeUndefined(); // a reply
  expect(parseQuery(Buffer.concat([header([2, 0, 0, 0]), question("a"), question("b")]))).toBeUndefined();
  expect(parseQuery(Buffer.concat([header([0, 0, 0, 0]), question("a")]))).toBeUndefined();
  const whole = message("example.org");
  for (let cut = 0; cut < whole.length; cut++) expect(parseQuery(whole.subarray(0, cut))).toBeUndefined();
});

test("compression is followed backwards only, so that no loop is possible", () => {
  const at = (bytes: number[]) => Buffer.concat([header(), Buffer.from(bytes)]);
  const compressed = at([1, 0x61, 0, 1, 0x62, 0xc0, 12]);
  expect(readName(compressed, 15)).toEqual({ name: "b.a", end: 19 });
  expect(readName(at([0xc0, 12]), 12)).toBeUndefined(); // itself
  expect(readName(at([1, 0x61, 0xc0, 12]), 12)).toBeUndefined(); // its own start
  expect(readName(at([0xc0, 14, 0xc0, 12]), 12)).toBeUndefined(); // forward
  expect(readName(at([0xc0, 14, 0xc0, 12]), 14)).toBeUndefined(); // back, and then to itself
  expect(readName(at([0xc0, 2, 0]), 12)).toBeUndefined(); // into the header
  expect(readName(at([0xc0]), 12)).toBeUndefined();
  expect(readName(at([0x80, 1]), 12)).toBeUndefined(); // a label type that does not exist
});

test("names are bounded", () => {
  const label = "a".repeat(63);
  expect(encodeName([label, label, label, "a".repeat(61)].join("."))).toHaveLength(255);
  expect(encodeName([label, label, label, "a".repeat(62)].join("."))).toBeUndefined();
  expect(encodeName("a".repeat(64))).toBeUndefined();
  expect(encodeName("a..b")).toBeUndefined();
  expect(encodeName("ä")).toBeUndefined();
  expect(parseQuery(message([label, label, label, "a".repeat(61)].join(".")))).toBeDefined();
  const long = Buffer.concat([
    ...Array.from({ length: 5 }, () => Buffer.from(`\x3f${label}`, "latin1")),
    Buffer.from([0, 0, 1, 0, 1]),
  ]);
  expect(parseQuery(Buffer.concat([header(), long]))).toBeUndefined();
});

test("a dot or a strange byte within a label cannot pass for another name", () => {
  const odd = Buffer.concat([header(), Buffer.from([3, 0x61, 0x2e, 0x62, 1, 0xff, 0, 0, 1, 0, 1])]);
  expect(parseQuery(odd)!.name).toBe("a\\046b.\\255");
});

test("an answer repeats the question and holds the records", () => {
  const query = parseQuery(Buffer.concat([header([1, 0, 0, 1]), question("Web"), opt]))!;
  const reply = encodeAnswer(
    query,
    Rcode.ok,
    [{ type: Type.A, ttl: 5, data: Buffer.from([10, 0, 0, 2]) }],
    true,
  );
  expect(reply.toString("hex")).toBe(
    `beef8580${"0001000100000001"}03${Buffer.from("Web").toString("hex")}0000010001${"c00c000100010000000500040a000002"}${"00002904d0000000000000"}`,
  );
  expect(isReplyTo(reply, 0xbeef, query.question)).toBe(true);
  expect(isReplyTo(reply, 0xbeee, query.question)).toBe(false);
  expect(isReplyTo(reply, 0xbeef, question("other"))).toBe(false);
  expect(isReplyTo(message("Web"), 0xbeef, query.question)).toBe(false); // no reply at all
  expect(isReplyTo(Buffer.alloc(3), 0, query.question)).toBe(false);
});

test("a broken message gets a format error, a reply or less than a header gets nothing", () => {
  expect(encodeFormatError(header())!.toString("hex")).toBe("beef80810000000000000000");
  expect(encodeFormatError(header([1, 0, 0, 0], 0x8000))).toBeUndefined();
  expect(encodeFormatError(Buffer.alloc(11))).toBeUndefined();
});

test("random bytes never throw", () => {
  let seed = 1;
  const random = () => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    return seed / 2 ** 31;
  };
  for (let n = 0; n < 20_000; n++) {
    const bytes = Buffer.from(
      Array.from({ length: Math.floor(random() * 80) }, () => Math.floor(random() * 256)),
    );
    if (bytes.length > 12 && n % 2) header().copy(bytes);
    parseQuery(bytes);
    readName(bytes, 12);
    encodeFormatError(bytes);
  }
});
