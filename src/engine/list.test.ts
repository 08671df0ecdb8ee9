import { expect, test } from "bun:test";
import { labelMatches, nameMatches } from "./list.ts";

test("a name filter is a part of the name, with anchors", () => {
  expect(nameMatches("web-1", "web")).toBe(true);
  expect(nameMatches("my-web", "web")).toBe(true);
  expect(nameMatches("my-web", "^web")).toBe(false);
  expect(nameMatches("web", "^/web$")).toBe(true);
  expect(nameMatches("web-1", "^web$")).toBe(false);
  expect(nameMatches("web-1", "w*1")).toBe(true);
  expect(nameMatches("web", "(a+)+$")).toBe(false);
  expect(nameMatches("a.b", "a.b")).toBe(true);
  expect(nameMatches("axb", "a.b")).toBe(false);
});

test("a label filter asks for the key, or for key and value", () => {
  const labels = { tier: "front=end", empty: "" };
  expect(labelMatches(labels, "tier")).toBe(true);
  expect(labelMatches(labels, "tier=front=end")).toBe(true);
  expect(labelMatches(labels, "tier=front")).toBe(false);
  expect(labelMatches(labels, "empty=")).toBe(true);
  expect(labelMatches(labels, "constructor")).toBe(false);
});
