import { describe, expect, test } from "bun:test";
import { GantryError } from "../../model/errors.ts";
import {
  capabilities,
  defaultCapabilities,
  knownCapabilities,
  normalizeCapability,
} from "./security-defaults.ts";

describe("capabilities", () => {
  test("names are taken in every usual spelling", () => {
    for (const name of ["net_admin", "NET_ADMIN", "cap_net_admin", "CAP_NET_ADMIN"])
      expect(normalizeCapability(name)).toBe("CAP_NET_ADMIN");
    expect(normalizeCapability("all")).toBe("ALL");
  });

  test("an unknown name is refused with the value", () => {
    for (const name of ["", "NET", "CAP_CAP_KILL", "NET_ADMIN,SYS_TIME", "cap_"])
      expect(() => capabilities([name], [])).toThrow(GantryError);
    expect(() => capabilities([], ["FOO"])).toThrow(/"FOO"/);
  });

  test("the kernel knows as many as the table", async () => {
    const last = Number(await Bun.file("/proc/sys/kernel/cap_last_cap").text());
    expect(knownCapabilities.length).toBe(new Set(knownCapabilities).size);
    expect(knownCapabilities.length).toBeGreaterThanOrEqual(last + 1);
  });

  test("Docker's default set of 14", () => {
    expect(capabilities([], [])).toEqual(
      knownCapabilities.filter((name) => defaultCapabilities.includes(name)),
    );
    expect(defaultCapabilities.length).toBe(14);
    expect(defaultCapabilities).not.toContain("CAP_SYS_ADMIN");
  });

  test("adding and dropping as Docker does", () => {
    expect(capabilities(["SYS_TIME"], ["MKNOD"])).toContain("CAP_SYS_TIME");
    expect(capabilities(["SYS_TIME"], ["MKNOD"])).not.toContain("CAP_MKNOD");
    expect(capabilities(["MKNOD"], ["MKNOD"])).toContain("CAP_MKNOD");
    expect(capabilities([], ["ALL"])).toEqual([]);
    expect(capabilities(["CHOWN"], ["ALL"])).toEqual(["CAP_CHOWN"]);
    expect(capabilities(["ALL"], [])).toEqual([...knownCapabilities]);
    expect(capabilities(["ALL"], ["SYS_ADMIN"])).toEqual(
      knownCapabilities.filter((name) => name !== "CAP_SYS_ADMIN"),
    );
  });

  test("what the wall lacks is left out unless it was asked for by name", () => {
    const available = new Set(knownCapabilities.filter((name) => !/SYS_RESOURCE|MKNOD/.test(name)));
    expect(capabilities(["ALL"], [], available)).toEqual([...available]);
    expect(capabilities([], [], available)).not.toContain("CAP_MKNOD");
    expect(capabilities(["SYS_RESOURCE"], [], available)).toContain("CAP_SYS_RESOURCE");
  });
});
