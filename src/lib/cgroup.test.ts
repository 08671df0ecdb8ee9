import { expect, test } from "bun:test";
import { modeOf, parseHierarchies, removeCgroup } from "./cgroup.ts";

const line = (point: string, type: string) => `40 31 0:37 / ${point} rw,relatime - ${type} ${type} rw,memory`;

test("the arrangement of control groups follows from the mounts", () => {
  const tmpfs = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw";
  const v1 = [tmpfs, line("/sys/fs/cgroup/memory", "cgroup")].join("\n");
  const hybrid = [v1, line("/sys/fs/cgroup/unified", "cgroup2")].join("\n");
  const v2 = line("/sys/fs/cgroup", "cgroup2");
  expect(modeOf(parseHierarchies(v1))).toBe("v1");
  expect(modeOf(parseHierarchies(hybrid))).toBe("hybrid");
  expect(modeOf(parseHierarchies(v2))).toBe("v2");
  expect(parseHierarchies(line("/a\\040b", "cgroup"))).toEqual([{ mountPoint: "/a b", v2: false }]);
});

test("a path that is not ours is never touched", async () => {
  for (const path of ["/", "/system.slice", "/gantry/../x", "/gantry/a/../..", "gantry/a"])
    await expect(removeCgroup(path)).rejects.toThrow("not a cgroup of ours");
});
