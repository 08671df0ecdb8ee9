import { expect, test } from "bun:test";
import type { Mount } from "../../model/instance.ts";
import { bindMount, cleanTarget, runtimeMounts, tmpfsMount, wantedMounts } from "./mounts.ts";
import { testImage } from "./plan.fixture.ts";

const bind = (target: string, source = "/host"): Mount => ({
  type: "bind",
  source,
  target,
  readOnly: false,
  createSource: true,
});
const tmpfs = (options: string[], more: { size?: number; mode?: number } = {}) =>
  tmpfsMount({ type: "tmpfs", target: "/t", options, ...more }).options;

test("targets are cleaned, and refused where nothing may be mounted", () => {
  expect(cleanTarget("/a//b/../c/")).toBe("/a/c");
  for (const bad of ["", "rel", "/", "//", "/..", "/proc", "/proc/sys", "/a/../proc/1", "/a\0b"])
    expect(() => cleanTarget(bad)).toThrow("mount target");
});

test("two mounts at one target are refused, however they are written", () => {
  expect(() => wantedMounts({ mounts: [bind("/data"), bind("/x/../data/")] }, testImage({}))).toThrow(
    "/data",
  );
  const tmp: Mount = { type: "tmpfs", target: "/data", options: [] };
  expect(() => wantedMounts({ mounts: [bind("/data"), tmp] }, testImage({}))).toThrow("two mounts");
  expect(() => wantedMounts({ mounts: [bind("/data", "rel")] }, testImage({}))).toThrow("absolute");
});

test("the image's VOLUMEs become anonymous volumes, unless a mount is there", () => {
  const image = testImage({ Volumes: { "/data": {}, "/cache/": {} } });
  expect(wantedMounts({ mounts: [bind("/data")] }, image).map(({ type, target }) => [type, target])).toEqual([
    ["bind", "/data"],
    ["volume", "/cache"],
  ]);
});

test("a user's mount takes the place of a default; outer folders come first", () => {
  const mounts = runtimeMounts([
    bindMount("/h", "/a/b/c", false),
    bindMount("/h", "/dev/shm", false),
    bindMount("/h", "/a", true),
  ]);
  expect(mounts.map((mount) => mount.destination)).toEqual([
    "/proc",
    "/dev",
    "/dev/pts",
    "/sys",
    "/sys/fs/cgroup",
    "/dev/mqueue",
    "/a",
    "/dev/shm",
    "/a/b/c",
  ]);
  expect(mounts.find((mount) => mount.destination === "/a")?.options).toEqual(["rbind", "ro", "rprivate"]);
});

test("a tmpfs is noexec, nosuid, nodev and 1777, and each can be undone", () => {
  expect(tmpfs([])).toEqual(["noexec", "nosuid", "nodev", "mode=1777"]);
  expect(tmpfs(["exec", "ro", "uid=5"], { size: 1024, mode: 0o700 })).toEqual([
    "nosuid",
    "nodev",
    "exec",
    "ro",
    "uid=5",
    "mode=700",
    "size=1024",
  ]);
  for (const bad of ["size=5", "lowerdir=/", "uid=x", "remount"])
    expect(() => tmpfs([bad])).toThrow("not known");
});
