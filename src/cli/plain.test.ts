import { expect, test } from "bun:test";
import { columns } from "./listing.ts";
import { plain, plainLine } from "./plain.ts";

test("what moves a terminal is shown, not done", () => {
  expect(plain("a\x1b[2Jb\rc\x07\x7f\u009b1m")).toBe("a\\u001b[2Jb\\u000dc\\u0007\\u007f\\u009b1m");
  expect(plain("evil\u202egpj")).toBe("evil\\u202egpj");
  expect(plain("größe\t1\n✓ 🙂")).toBe("größe\t1\n✓ 🙂");
});

test("JSON stays JSON and means the same", () => {
  const value = { title: "\u009b0m\u007f\u2028\x1b" };
  expect(JSON.parse(plain(JSON.stringify(value)))).toEqual(value);
});

test("a cell cannot forge a row", () => {
  expect(plainLine("a\nb\tc")).toBe("a\\u000ab\\u0009c");
  expect(columns([["x\nfaked  row", "y"]]).split("\n")).toHaveLength(2);
});
