import { expect, test } from "bun:test";
import { parseStrictJson } from "./strict-json.ts";

const parse = (text: string) => parseStrictJson(Buffer.from(text), "it");

test("plain JSON passes as JSON.parse reads it", () => {
  const text = '{"a":[{"b":1},{"b":2}],"c":{"a":"x\\"{,\\u0041","":[]},"d":[1,"a","a"],"e":-1.5e3,"f":null}';
  expect(parse(text)).toEqual(JSON.parse(text));
});

test.each([
  ['{"a":1,"a":2}', "twice"],
  ['{"a":1,"\\u0061":2}', "twice"],
  ['[{"x":{"k":[],"y":{},"k":1}}]', "twice"],
  ['{"__proto__":{}}', "__proto__"],
  ['{"a":[{"\\u005f_proto__":1}]}', "__proto__"],
  ["[".repeat(65) + "]".repeat(65), "deeper"],
  ["{", "not valid"],
  ["", "not valid"],
  ['{"a":1}x', "not valid"],
  ['\ufeff{"a":1}', "not valid"],
])("%s is refused: %s", (text, why) => expect(() => parse(text)).toThrow(why));

test("bytes that are not UTF-8 are refused", () => {
  expect(() => parseStrictJson(Buffer.from([0x22, 0xff, 0x22]), "it")).toThrow("not valid");
});
