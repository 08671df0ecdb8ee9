import { expect, test } from "bun:test";
import { providedFiles } from "./files.ts";

const nat = {
  sandboxId: "s",
  mode: "nat" as const,
  end: "netns" as const,
  address: "10.1.0.5",
  gateway: "10.1.0.1",
  ports: [],
};
const content = (files: ReturnType<typeof providedFiles>, target: string) =>
  files.find((file) => file.target === target)?.content;

test("with nat: the own address in hosts, the gateway as name server", () => {
  const files = providedFiles("web.example", nat, new Set());
  expect(content(files, "/etc/hostname")).toBe("web.example\n");
  expect(content(files, "/etc/hosts")).toContain("10.1.0.5\tweb.example web\n");
  expect(content(files, "/etc/resolv.conf")).toBe("nameserver 10.1.0.1\noptions ndots:0\n");
  expect(files.every((file) => file.mode === 0o644)).toBe(true);
});

test("without a network: localhost only, and nobody to ask", () => {
  const files = providedFiles(
    "lone",
    { ...nat, mode: "none", address: undefined, gateway: undefined },
    new Set(),
  );
  expect(content(files, "/etc/hosts")).not.toContain("lone");
  expect(content(files, "/etc/resolv.conf")).not.toMatch(/^nameserver/m);
});

test("a file that a mount covers is not provided", () => {
  const files = providedFiles("h", nat, new Set(["/etc/hosts"]));
  expect(files.map((file) => file.target)).toEqual(["/etc/hostname", "/etc/resolv.conf"]);
});
