import { expect, test } from "bun:test";
import { GantryError } from "../model/errors.ts";
import { archiveName, candidates, canonicalName, parseReference } from "./reference.ts";

const hex = "0123456789abcdef".repeat(4);

test.each([
  ["busybox", "localhost/busybox:latest"],
  ["busybox:1.36", "localhost/busybox:1.36"],
  ["a/b", "localhost/a/b:latest"],
  ["localhost/x", "localhost/x:latest"],
  ["localhost:5000/x:t", "localhost:5000/x:t"],
  ["registry.example.org/team/app:V1.2_3-rc", "registry.example.org/team/app:V1.2_3-rc"],
  ["docker.io/busybox", "docker.io/library/busybox:latest"],
  ["index.docker.io/a/b", "docker.io/a/b:latest"],
  ["[2001:db8::1]:5000/x", "[2001:db8::1]:5000/x:latest"],
  ["a__b/c-d---e/f.g", "localhost/a__b/c-d---e/f.g:latest"],
  ["UPPER/x", "UPPER/x:latest"], // an upper-case first part can only be a host
])("the name %s is %s", (text, name) => expect(canonicalName(text)).toBe(name));

test("names in a docker-archive are Docker's", () => {
  expect(archiveName("busybox:1")).toBe("docker.io/library/busybox:1");
  expect(archiveName("localhost/busybox:1")).toBe("localhost/busybox:1");
  expect(candidates(parseReference("busybox"))).toEqual(["localhost/busybox", "docker.io/library/busybox"]);
  expect(candidates(parseReference("quay.io/x"))).toEqual(["quay.io/x"]);
});

test("digests", () => {
  expect(parseReference(`x:t@sha256:${hex}`)).toEqual({
    domain: "",
    path: "x",
    tag: "t",
    digest: `sha256:${hex}`,
  });
});

test.each([
  "",
  "/x",
  "x/",
  "x//y",
  "Foo",
  "x:",
  "x:.t",
  "x:a b",
  `x:${"t".repeat(129)}`,
  "-x",
  "x-",
  "a___b",
  "a..b",
  "x@sha256:12",
  "x@md5:0123",
  `x@sha256:${hex.toUpperCase()}`,
  hex,
  "exa mple.org/x",
  "-bad.example/x",
  "x\ny",
  "../etc/passwd",
  `${"a".repeat(300)}`,
])("%j is refused", (text) => {
  try {
    parseReference(text);
  } catch (error) {
    expect(error).toBeInstanceOf(GantryError);
    expect((error as GantryError).code).toBe("invalid");
    expect((error as GantryError).message).not.toContain("\n");
    return;
  }
  throw new Error("was taken");
});
