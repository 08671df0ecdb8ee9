import { afterAll, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exec } from "../../lib/exec.ts";
import type { Seccomp } from "../../model/oci.ts";
import { defaultSeccomp } from "./seccomp-default.ts";
import { capabilities } from "./security-defaults.ts";

const EPERM = 1;
const ENOSYS = 38;

/** Calls by their x86-64 numbers, with arguments that harm nothing should they get through. */
const calls: Record<string, number[]> = {
  getpid: [39],
  openMissing: [2, 0, 0],
  socketInet: [41, 2, 2, 0],
  socketVsock: [41, 40, 1, 0],
  personalityAsk: [135, 0xffffffff],
  personalityOther: [135, 0x400000],
  keyctlGetId: [250, 0, -3, 0],
  unshareNothing: [272, 0],
  cloneUser: [56, 0x10000011],
  clone3: [435, 0, 0],
  ioUring: [425, 0, 0],
  userfaultfd: [323, 0],
  pivotRoot: [155, 0, 0],
  mountNothing: [165, 0, 0, 0, 0, 0],
  bpf: [321, 0, 0, 0],
  ptraceBad: [101, 9999, 0, 0],
  syslogSize: [103, 10, 0, 0],
  notYetInvented: [900],
};

/** Prints `name=errno` of each call; a clone that succeeds leaves at once. */
const script = (list: [string, number[]][]): string =>
  list
    .map(
      ([name, args]) =>
        `$!=0; my $r=syscall(${args.join(",")}); exit 0 if $r==0 && "${name}" eq "cloneUser"; print "${name}=",($r==-1?$!+0:0),"\\n";`,
    )
    .join(" ");

const folders: string[] = [];
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

/** Runs the calls under crun in a container of the host's own programs; returns each call's errno. */
async function errnos(caps: string[], seccomp: Seccomp | undefined): Promise<Record<string, number>> {
  const folder = await mkdtemp(join(tmpdir(), "seccomp-"));
  folders.push(folder);
  const root = join(folder, "root");
  const shown = ["/usr", "/bin", "/lib", "/lib64"];
  for (const path of ["/proc", "/dev", ...shown]) await mkdir(root + path, { recursive: true });
  const spec = {
    ociVersion: "1.0.2",
    root: { path: root, readonly: true },
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: ["perl", "-e", `$|=1; $SIG{CHLD}="IGNORE"; ${script(Object.entries(calls))}`],
      env: ["PATH=/usr/bin:/bin"],
      cwd: "/",
      capabilities: { bounding: caps, effective: caps, permitted: caps, inheritable: [], ambient: [] },
      noNewPrivileges: true,
    },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      ...shown.map((path) => ({ destination: path, type: "bind", source: path, options: ["bind", "ro"] })),
    ],
    linux: {
      namespaces: ["pid", "network", "ipc", "uts", "mount"].map((type) => ({ type })),
      ...(seccomp === undefined ? {} : { seccomp }),
    },
  };
  await writeFile(join(folder, "config.json"), JSON.stringify(spec));
  // crun refuses a host with both cgroup versions; in a mount namespace of its own the newer one can be put away
  const run = `umount /sys/fs/cgroup/unified 2>/dev/null; exec crun --root "$1/state" --cgroup-manager=disabled run --bundle "$1" "seccomp-$$"`;
  const result = await exec(["unshare", "--mount", "sh", "-c", run, "sh", folder], { timeout: 20_000 });
  return Object.fromEntries(
    result.stdout
      .trim()
      .split("\n")
      .map((line) => line.split("=") as [string, string])
      .map(([name, errno]) => [name, Number(errno)]),
  );
}

describe("the default system call filter under crun", () => {
  test("denies what Docker's denies, with its errors, and nothing that programs need", async () => {
    const caps = capabilities([], []);
    const found = await errnos(caps, defaultSeccomp(caps));
    const expected: Record<string, number> = {
      getpid: 0,
      openMissing: 14,
      socketInet: 0,
      socketVsock: EPERM,
      personalityAsk: 0,
      personalityOther: ENOSYS,
      keyctlGetId: EPERM,
      unshareNothing: EPERM,
      cloneUser: EPERM,
      clone3: ENOSYS,
      ioUring: EPERM,
      userfaultfd: EPERM,
      pivotRoot: EPERM,
      mountNothing: EPERM,
      bpf: EPERM,
      syslogSize: EPERM,
      notYetInvented: ENOSYS,
    };
    expect(found).toMatchObject(expected);
    expect(found.ptraceBad).not.toBe(EPERM);
    expect(found.ptraceBad).not.toBe(ENOSYS);
  });

  test("it is the filter that denies: the same calls without it", async () => {
    const found = await errnos(capabilities([], []), undefined);
    for (const name of [
      "keyctlGetId",
      "unshareNothing",
      "personalityOther",
      "socketVsock",
      "ioUring",
      "clone3",
    ])
      expect([name, found[name]]).not.toEqual([name, EPERM]);
    expect(found.clone3).not.toBe(ENOSYS);
  });

  test("capabilities open what belongs to them", async () => {
    const caps = capabilities(["SYS_ADMIN"], []);
    const found = await errnos(caps, defaultSeccomp(caps));
    for (const name of ["unshareNothing", "mountNothing", "clone3"])
      expect([EPERM, ENOSYS]).not.toContain(found[name] as number);
    expect(found.keyctlGetId).toBe(EPERM);
    expect(found.ioUring).toBe(EPERM);
  });
});

describe("the profile", () => {
  test("names no system call as both allowed and denied but where arguments decide", () => {
    for (const caps of [[], capabilities([], []), capabilities(["ALL"], [])]) {
      const rules = defaultSeccomp(caps).syscalls;
      const seen = new Map<string, Set<string>>();
      for (const rule of rules.filter((each) => each.args === undefined))
        for (const name of rule.names) seen.set(name, (seen.get(name) ?? new Set()).add(rule.action));
      expect([...seen].filter(([, actions]) => actions.size > 1)).toEqual([]);
    }
  });

  test("clone3 and mount follow CAP_SYS_ADMIN", () => {
    const allowed = (caps: string[]) =>
      new Set(
        defaultSeccomp(caps)
          .syscalls.filter((rule) => rule.action === "SCMP_ACT_ALLOW" && rule.args === undefined)
          .flatMap((rule) => rule.names),
      );
    expect(allowed(capabilities([], [])).has("clone3")).toBe(false);
    expect(allowed(capabilities([], [])).has("chroot")).toBe(true);
    expect(allowed(capabilities([], ["SYS_CHROOT"])).has("chroot")).toBe(false);
    expect(allowed(["CAP_SYS_ADMIN"]).has("clone3")).toBe(true);
    expect(allowed(["CAP_SYS_ADMIN"]).has("mount")).toBe(true);
  });
});
