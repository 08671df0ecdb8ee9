import { expect } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../lib/engine.ts";
import { type Case, fresh, image } from "./case.ts";

/** Environment, user, folder, limits and confinement. */
export const settings: Case[] = [
  {
    name: "-e, --env-file, -w, -u, --hostname, --entrypoint",
    async run({ run, folder, gWith, flags }) {
      const file = join(folder, "env");
      writeFileSync(file, "# a comment\nFILE=one two\nPASSED\n");
      const result = await gWith(
        { env: { PASSED: "through", OUTER: "yes" } },
        ...[
          "run",
          "--rm",
          ...flags,
          "--env-file",
          file,
          "-e",
          "A=1=2",
          "-e",
          "OUTER",
          "-e",
          "UNSET_ANYWHERE",
        ],
        ...["-w", "/made/for/me", "-u", "1234:567", "--hostname", "box", "--entrypoint", "sh", image, "-c"],
        'echo "$A|$FILE|$PASSED|$OUTER|${UNSET_ANYWHERE-unset}|$(pwd)|$(id -u):$(id -g)|$(hostname)"',
      );
      expect(result).toMatchObject({
        status: 0,
        stdout: "1=2|one two|through|yes|unset|/made/for/me|1234:567|box\n",
      });
      expect((await run(image, "sh", "-c", "echo $PATH $HOME; hostname | wc -c")).stdout).toBe(
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /root\n13\n",
      );
    },
  },
  {
    name: "-u by name is looked up inside; an unknown one is refused",
    async run({ run, g, flags }) {
      expect((await run("-u", "nobody", image, "id", "-un")).stdout).toBe("nobody\n");
      const refused = await g("run", "--rm", ...flags, "-u", "who-is-this", image, "true");
      expect(refused.status).toBe(125);
      expect(refused.stderr).toContain("who-is-this");
    },
  },
  {
    name: "hostname, hosts and resolv.conf are there and name the instance",
    async run({ run }) {
      const { stdout } = await run(
        "--hostname",
        "named",
        image,
        "sh",
        "-c",
        "cat /etc/hostname; grep -c named /etc/hosts; grep -c nameserver /etc/resolv.conf",
      );
      expect(stdout).toBe("named\n1\n1\n");
    },
  },
  {
    name: "--read-only: the root file system refuses writes, --tmpfs and volumes take them",
    async run({ run }) {
      const { stdout } = await run(
        "--read-only",
        "--tmpfs",
        "/scratch:size=1m",
        "-v",
        "/vol",
        image,
        "sh",
        "-c",
        "touch /x 2>/dev/null || echo refused; touch /scratch/a && echo tmp; touch /vol/a && echo vol",
      );
      expect(stdout).toBe("refused\ntmp\nvol\n");
    },
  },
  {
    name: "--tmpfs: size and options hold",
    async run({ run }) {
      const { stdout } = await run(
        "--tmpfs",
        "/t:size=1m,mode=700",
        image,
        "sh",
        "-c",
        "stat -c %a /t; dd if=/dev/zero of=/t/f bs=1k count=2000 2>/dev/null || echo full; grep ' /t ' /proc/mounts | grep -c noexec",
      );
      expect(stdout).toBe("700\nfull\n1\n");
    },
  },
  {
    name: "-m: a workload over its limit is killed with 137 and told so; a fork beside it is not",
    async run({ ok, up }) {
      const id = await up("-m", "64m", image, "sh", "-c", "tail /dev/zero");
      expect(await ok("wait", id)).toBe("137");
      expect(JSON.parse(await ok("inspect", id))[0].State).toMatchObject({ OOMKilled: true, ExitCode: 137 });
    },
  },
  {
    name: "-m is what the workload may take, whatever the wall itself needs",
    async run({ run }) {
      expect(
        (await run("-m", "96m", image, "sh", "-c", "head -c 60000000 /dev/zero | tail -c 60000000 | wc -c"))
          .stdout,
      ).toBe("60000000\n");
    },
  },
  {
    name: "--pids-limit",
    async run({ run }) {
      const { stdout, stderr } = await run(
        "--pids-limit",
        "8",
        image,
        "sh",
        "-c",
        "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 2 & done; wait; echo end",
      );
      expect(`${stdout}${stderr}`).toContain("fork");
    },
  },
  {
    name: "--cpus",
    async run({ run }) {
      // Half a CPU for about two seconds of wall time gives about one second of CPU time; the bound is wide on purpose.
      const { stdout } = await run(
        "--cpus",
        "0.5",
        image,
        "sh",
        "-c",
        "s=$(date +%s); while [ $(($(date +%s) - s)) -lt 3 ]; do :; done; awk '{print int($1*1000)}' /proc/uptime >/dev/null; cat /proc/self/cgroup >/dev/null; times",
      );
      const seconds = [...stdout.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
        (sum, [, minutes, rest]) => sum + Number(minutes) * 60 + Number(rest),
        0,
      );
      expect(seconds).toBeGreaterThan(0.2);
      expect(seconds).toBeLessThan(2.6);
    },
  },
  {
    name: "Docker's default capabilities, --cap-drop and --cap-add",
    async run({ run }) {
      const caps = async (...args: string[]) => {
        const { stdout } = await run(...args, image, "grep", "-E", "Cap(Bnd|Eff|Prm)", "/proc/self/status");
        return [...stdout.matchAll(/[0-9a-f]{16}/g)].map(([hex]) => hex);
      };
      expect(await caps()).toEqual(Array(3).fill("00000000a80425fb"));
      expect(await caps("--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE")).toEqual(
        Array(3).fill("0000000000000400"),
      );
      expect(await caps("--cap-add", "CAP_NET_ADMIN")).toEqual(Array(3).fill("00000000a80435fb"));
    },
  },
  {
    name: "a user other than root has no effective capabilities",
    async run({ run }) {
      expect(
        (
          await run("-u", "1000", image, "sh", "-c", "grep -E 'Cap(Eff|Prm|Amb)' /proc/self/status")
        ).stdout.replaceAll(/\s+/g, " "),
      ).toBe("CapPrm: 0000000000000000 CapEff: 0000000000000000 CapAmb: 0000000000000000 ");
    },
  },
  {
    name: "seccomp is on: mount, unshare and the keyring are denied; exec is under it too",
    async run({ run, up, ok }) {
      const script =
        "grep Seccomp: /proc/self/status | tr -d '\\t'; unshare -U true 2>/dev/null || echo no-unshare; mount -t tmpfs x /mnt 2>/dev/null || echo no-mount";
      expect(
        (
          await run(
            "--cap-add",
            "SYS_ADMIN",
            image,
            "sh",
            "-c",
            "grep Seccomp: /proc/self/status | tr -d '\\t'",
          )
        ).stdout,
      ).toBe("Seccomp:2\n");
      expect((await run(image, "sh", "-c", script)).stdout).toBe("Seccomp:2\nno-unshare\nno-mount\n");
      const id = await up(image, "sleep", "300");
      expect(await ok("exec", id, "sh", "-c", script)).toBe("Seccomp:2\nno-unshare\nno-mount");
    },
  },
  {
    name: "--security-opt no-new-privileges",
    async run({ run, up, ok }) {
      const look = ["sh", "-c", "grep NoNewPrivs /proc/self/status | tr -d '\\t'"];
      expect((await run(image, ...look)).stdout).toBe("NoNewPrivs:0\n");
      expect((await run("--security-opt", "no-new-privileges", image, ...look)).stdout).toBe(
        "NoNewPrivs:1\n",
      );
      const id = await up("--security-opt", "no-new-privileges:true", image, "sleep", "300");
      expect(await ok("exec", id, ...look)).toBe("NoNewPrivs:1");
    },
  },
  {
    name: "masked and read-only paths, and the devices that are there",
    async run({ run }) {
      const script = [
        "wc -c < /proc/kcore 2>/dev/null || echo 0",
        "ls /proc/acpi /sys/firmware 2>/dev/null | grep -vc : || true",
        "echo 1 > /proc/sysrq-trigger 2>/dev/null || echo read-only",
        "echo x > /proc/sys/kernel/hostname 2>/dev/null || echo read-only",
        "touch /sys/x 2>/dev/null || echo read-only",
        "for d in null zero full random urandom tty; do test -c /dev/$d && echo $d; done",
        "mknod /tmp/mem c 1 1 2>/dev/null && head -c 1 /tmp/mem 2>/dev/null || echo no-mem",
      ].join("; ");
      const { stdout } = await run(image, "sh", "-c", script);
      expect(stdout.split("\n").slice(2)).toEqual([
        ...[
          "read-only",
          "read-only",
          "read-only",
          "null",
          "zero",
          "full",
          "random",
          "urandom",
          "tty",
          "no-mem",
          "",
        ],
      ]);
      expect(stdout.split("\n")[0]).toBe("0");
    },
  },
  {
    name: "the command is process 1 of its own and sees no other",
    async run({ run }) {
      expect((await run(image, "sh", "-c", "echo $$; ls -d /proc/[0-9]* | wc -l")).stdout).toMatch(
        /^1\n[23]\n$/,
      );
    },
  },
  {
    name: "time and randomness are the host's and fresh",
    async run({ run }) {
      const { stdout } = await run(image, "sh", "-c", "date +%s; head -c 16 /dev/urandom | sha256sum");
      const [seconds, random] = stdout.split("\n");
      expect(Math.abs(Number(seconds) - Date.now() / 1000)).toBeLessThan(5);
      const other = (await run(image, "sh", "-c", "head -c 16 /dev/urandom | sha256sum")).stdout.trim();
      expect(other).not.toBe(random!);
    },
  },
  {
    name: "--label is kept, --name is checked",
    async run({ ok, g, flags }) {
      const name = fresh();
      await ok("create", ...flags, "--name", name, "--label", "a=b", "--label", "empty", image);
      expect(JSON.parse(await ok("inspect", name))[0].Config.Labels).toEqual({ a: "b", empty: "" });
      const bad = await g("create", ...flags, "--name", "../up", image);
      expect(bad.status).toBe(125);
      expect(bad.stderr).toContain("../up");
    },
  },
  {
    name: "--storage-opt size=: a full writable layer is the workload's own problem",
    async run({ g, flags, wall }) {
      const result = await g(
        "run",
        "--rm",
        ...flags,
        "--storage-opt",
        "size=64m",
        image,
        "sh",
        "-c",
        "dd if=/dev/zero of=/big bs=1M count=200 2>/dev/null || echo full; echo alive",
      );
      if (wall === "vm") expect(result).toMatchObject({ status: 0, stdout: "full\nalive\n" });
      else {
        // Listed in differences.ts: refused by name where the host's file system cannot hold it.
        expect(result.status).toBe(125);
        expect(result.stderr).toContain("--storage-opt");
      }
    },
  },
  {
    name: "a refused or unknown flag is named and nothing is left behind",
    async run({ g, flags, ok }) {
      for (const [args, word] of [
        [["--privileged"], "--privileged"],
        [["--gpus", "all"], "--gpus"],
        [["--nonsense"], "--nonsense"],
        [["--cap-add", "FLY"], "FLY"],
        [["-m", "much"], "much"],
        [["-p", "99999:1"], "99999"],
        [["-v", "relative/../../x:/y:bogus"], "bogus"],
        [["--restart", "sometimes"], "sometimes"],
        [["--security-opt", "nothing"], "nothing"],
        [["--network", "moon"], "moon"],
        [["--stop-signal", "SIGNOTHING"], "SIGNOTHING"],
      ] as const) {
        const result = await g("run", "--rm", ...flags, ...args, image, "true");
        expect(result.status).toBe(125);
        expect(result.stderr).toContain(word);
        expect(result.stderr.trim().split("\n").length).toBeLessThanOrEqual(2);
      }
      expect(await ok("ps", "-aq")).toBe("");
    },
  },
  {
    name: "a workload that ignores everything still goes",
    async run({ up, ok }) {
      const id = await up(
        image,
        "sh",
        "-c",
        "trap '' TERM INT HUP; (trap '' TERM; sleep 300) & while :; do sleep 1; done",
      );
      await ok("rm", "-f", id);
      await eventually("its absence", async () => (await ok("ps", "-aq")) === "");
    },
  },
];
