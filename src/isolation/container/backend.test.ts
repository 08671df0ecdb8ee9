import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { capabilitiesOf, knownCapabilities } from "../../model/capabilities.ts";
import type { InstanceConfig } from "../../model/instance.ts";
import { hostCapabilities, refusals } from "./backend.ts";

const config = (capAdd: string[]): InstanceConfig => ({ capAdd, limits: {} }) as unknown as InstanceConfig;

test("a capability that the host lacks is refused by its name, ALL is not", () => {
  const available = new Set(knownCapabilities.filter((name) => name !== "CAP_SYS_RESOURCE"));
  expect(refusals(config(["ALL", "NET_ADMIN", "cap_chown"]), available)).toEqual([]);
  for (const name of ["SYS_RESOURCE", "cap_sys_resource", "Sys_Resource"])
    expect(refusals(config([name]), available).map(({ flag }) => flag)).toEqual(["--cap-add SYS_RESOURCE"]);
});

test("the host's capabilities are those of this process", () => {
  const bound = BigInt(`0x${/^CapBnd:\s*(\S+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]}`);
  for (const [number, name] of knownCapabilities.entries())
    expect(hostCapabilities().has(name)).toBe(((bound >> BigInt(number)) & 1n) === 1n);
  expect(capabilitiesOf("21")).toEqual(["CAP_CHOWN", "CAP_KILL"]);
});
