import { expect, test } from "bun:test";
import { merge, mergeArgs, mergeEnv } from "./merge.ts";
import { testConfig, testImage } from "./plan.fixture.ts";

const image = testImage({
  Entrypoint: ["/entry", "-x"],
  Cmd: ["serve"],
  Env: ["PATH=/bin", "A=1", "B=2"],
  WorkingDir: "/srv",
  User: "app",
  StopSignal: "SIGQUIT",
  ExposedPorts: { "80/tcp": {}, "53/udp": {} },
  Labels: { from: "image", both: "image" },
});
const id = "0123456789abcdef".repeat(4);

test("entrypoint and command merge by Docker's rules", () => {
  expect(mergeArgs({}, image)).toEqual(["/entry", "-x", "serve"]);
  expect(mergeArgs({ command: ["other", "y"] }, image)).toEqual(["/entry", "-x", "other", "y"]);
  expect(mergeArgs({ command: [] }, image)).toEqual(["/entry", "-x", "serve"]);
  expect(mergeArgs({ entrypoint: ["/mine"] }, image)).toEqual(["/mine"]);
  expect(mergeArgs({ entrypoint: ["/mine"], command: ["a"] }, image)).toEqual(["/mine", "a"]);
  expect(mergeArgs({ entrypoint: [], command: ["a"] }, image)).toEqual(["a"]);
  expect(() => mergeArgs({ entrypoint: [] }, image)).toThrow("no command");
  expect(() => mergeArgs({}, testImage({}))).toThrow("no command");
});

test("environment: later wins in place, a bare name takes away, values keep their equal signs", () => {
  expect(mergeEnv(["A=1", "B=2"], ["C=3", "A=x=y"], ["B"])).toEqual(["A=x=y", "C=3"]);
  expect(mergeEnv(["A="], ["=bad"])).toEqual(["A="]);
});

test("defaults of the environment: PATH, HOSTNAME, and TERM with a terminal", () => {
  expect(merge({ id, config: testConfig({ command: ["x"] }) }, testImage({})).env).toEqual([
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOSTNAME=0123456789ab",
  ]);
  expect(merge({ id, config: testConfig({ tty: true, hostname: "h", env: ["A=2"] }) }, image).env).toEqual([
    "PATH=/bin",
    "HOSTNAME=h",
    "TERM=xterm",
    "A=2",
    "B=2",
  ]);
});

test("the image's user, folder, signal, ports and labels, unless the user says otherwise", () => {
  expect(merge({ id, config: testConfig({}) }, image)).toMatchObject({
    workdir: "/srv",
    user: "app",
    hostname: "0123456789ab",
    stopSignal: "SIGQUIT",
    exposedPorts: ["80/tcp", "53/udp"],
    labels: { from: "image", both: "image" },
  });
  const ports = [{ hostIp: "0.0.0.0", hostPort: 0, containerPort: 81, protocol: "tcp" as const }];
  const own = testConfig({ workdir: "/w", user: "0:0", stopSignal: "2", labels: { both: "user" }, ports });
  expect(merge({ id, config: own }, image)).toMatchObject({
    workdir: "/w",
    user: "0:0",
    stopSignal: "SIGINT",
    exposedPorts: ["80/tcp", "53/udp", "81/tcp"],
    labels: { from: "image", both: "user" },
  });
  expect(() => merge({ id, config: testConfig({ workdir: "rel" }) }, image)).toThrow("not absolute");
  expect(() => merge({ id, config: testConfig({ stopSignal: "NOPE" }) }, image)).toThrow("no signal");
});

test("what the kernel or /etc/hosts cannot take is refused", () => {
  for (const hostname of ["a b", "x\n10.0.0.1 evil", "-x", "x".repeat(65)])
    expect(() => merge({ id, config: testConfig({ hostname }) }, image)).toThrow("hostname");
  expect(() => merge({ id, config: testConfig({ env: ["A=\0"] }) }, image)).toThrow("NUL");
  expect(() => merge({ id, config: testConfig({ command: ["a\0"] }) }, image)).toThrow("NUL");
});
