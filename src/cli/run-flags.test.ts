import { describe, expect, test } from "bun:test";
import type { FlagValues } from "./command.ts";
import { parse } from "./parse.ts";
import { configOf, laterFlags, runFlags } from "./run-flags.ts";

function config(...argv: string[]) {
  const { args, flags } = parse({ flags: runFlags, later: laterFlags, stopAtPositional: true }, argv);
  return configOf(flags as FlagValues<typeof runFlags>, args[0]!, args.slice(1));
}

describe("run's flags", () => {
  test("every one of them arrives", () => {
    const given = config(
      ...[
        "-i",
        "-t",
        "--rm",
        "-e",
        "A=1",
        "-e",
        "B=x=y",
        "-w",
        "/w",
        "-u",
        "1:2",
        "--entrypoint",
        "/e",
        "--hostname",
        "h",
      ],
      ...[
        "-v",
        "/h:/t:ro",
        "-v",
        "vol:/d",
        "-v",
        "/anon",
        "--tmpfs",
        "/tmp:size=1m,mode=1777,noexec",
        "--read-only",
      ],
      ...[
        "-p",
        "127.0.0.1:8080:80",
        "--network",
        "none",
        "--cpus",
        "1.5",
        "-m",
        "512m",
        "--pids-limit",
        "10",
      ],
      ...[
        "--label",
        "k=v",
        "--label",
        "bare",
        "--stop-signal",
        "INT",
        "--stop-timeout",
        "3",
        "--cap-add",
        "NET_ADMIN",
      ],
      ...[
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges",
        "--vm",
        "--storage-opt",
        "size=10G",
        "img",
        "cmd",
        "-x",
      ],
    );
    expect(given).toEqual({
      image: "img",
      isolation: "vm",
      entrypoint: ["/e"],
      command: ["cmd", "-x"],
      env: ["A=1", "B=x=y"],
      workdir: "/w",
      user: "1:2",
      hostname: "h",
      tty: true,
      openStdin: true,
      labels: { k: "v", bare: "" },
      mounts: [
        { type: "bind", source: "/h", target: "/t", readOnly: true, createSource: true },
        { type: "volume", source: "vol", target: "/d", readOnly: false, noCopy: false },
        { type: "volume", target: "/anon", readOnly: false, noCopy: false },
        { type: "tmpfs", target: "/tmp", size: 1 << 20, mode: 0o1777, options: ["noexec"] },
      ],
      readOnlyRootfs: true,
      network: "none",
      ports: [{ hostIp: "127.0.0.1", hostPort: 8080, containerPort: 80, protocol: "tcp" }],
      limits: { cpus: 1.5, memory: 512 << 20, pids: 10, storage: 10 * 2 ** 30 },
      stopSignal: "INT",
      stopTimeout: 3,
      capAdd: ["NET_ADMIN"],
      capDrop: ["ALL"],
      noNewPrivileges: true,
      autoRemove: true,
    });
  });

  test("the wall by any of its names", () => {
    expect(config("x").isolation).toBe("container");
    expect(config("--isolation", "vm", "x").isolation).toBe("vm");
    expect(config("--runtime=vm", "x").isolation).toBe("vm");
    expect(config("--vm", "--isolation=vm", "x").isolation).toBe("vm");
  });

  test("an empty --entrypoint takes the image's away", () => {
    expect(config("--entrypoint", "", "x").entrypoint).toEqual([]);
    expect(config("x").entrypoint).toBeUndefined();
  });

  test("restart policies", () => {
    expect(config("--restart", "on-failure:3", "x").restart).toEqual({ name: "on-failure", maxRetries: 3 });
    expect(config("--restart", "always", "x").restart).toEqual({ name: "always", maxRetries: 0 });
  });

  const refused: [argv: string[], part: string][] = [
    [["--isolation", "jail", "x"], '"jail"'],
    [["--vm", "--runtime", "container", "x"], "different walls"],
    [["--network", "host", "x"], "not supported yet"],
    [["--security-opt", "seccomp=unconfined", "x"], "not supported yet"],
    [["--security-opt", "nonsense", "x"], '"nonsense"'],
    [["--storage-opt", "dm.x=1", "x"], "size=SIZE"],
    [["--restart", "sometimes", "x"], '"sometimes"'],
    [["--restart", "always:3", "x"], '"always:3"'],
    [["--rm", "--restart", "always", "x"], "contradict"],
    [["-m", "1m", "x"], "the least is 6m"],
    [["-m", "lots", "x"], '"lots"'],
    [["--cpus", "many", "x"], '"many"'],
    [["--cpus", "-1", "x"], '"-1"'],
    [["--pids-limit", "1.5", "x"], '"1.5"'],
    [["-v", "/a:/t", "--tmpfs", "/t", "x"], "two mounts"],
    [["-e", "=x", "x"], "names no variable"],
    [["--env-file", "/does/not/exist", "x"], "cannot be read"],
    ...[
      "--privileged",
      "--device",
      "--mount",
      "--gpus",
      "--pid",
      "--ulimit",
      "--init",
      "--cidfile",
      "--dns",
      "-P",
    ].map((flag): [string[], string] => [[flag, "y", "x"], "not supported yet"]),
  ];
  test.each(refused)("%j is refused", (argv, part) => {
    expect(() => config(...argv)).toThrow(part);
  });

  test("no flag is both there and refused", () => {
    for (const name of Object.keys(runFlags)) expect(laterFlags[name]).toBeUndefined();
  });
});
