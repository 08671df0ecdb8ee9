import { expect } from "bun:test";
import { eventually } from "../lib/engine.ts";
import { type Case, fresh, image } from "./case.ts";

const state = async (ok: (...args: string[]) => Promise<string>, name: string) =>
  JSON.parse(await ok("inspect", name))[0].State as Record<string, unknown>;

export const lifecycle: Case[] = [
  {
    name: "run: the command's exit status, output and errors",
    async run({ run }) {
      const result = await run(image, "sh", "-c", "echo out; echo err >&2; exit 3");
      expect(result).toMatchObject({ status: 3, stdout: "out\n", stderr: "err\n" });
    },
  },
  {
    name: "run: 127 for a command that is not there, 126 for one that cannot run, 125 for an engine error",
    async run({ run, g, flags }) {
      const missing = await run(image, "no-such-command");
      expect(missing.status).toBe(127);
      expect(missing.stderr).toContain("no-such-command");
      expect((await run(image, "/etc/passwd")).status).toBe(126);
      const unknown = await g("run", "--rm", ...flags, "no-such-image", "true");
      expect(unknown.status).toBe(125);
      expect(unknown.stderr).toContain("no-such-image");
    },
  },
  {
    name: "run: 128 + n for a death by signal n",
    async run({ g, up, ok }) {
      const id = await up(image, "sleep", "300");
      const waiting = g("wait", id);
      await ok("kill", "-s", "KILL", id);
      expect((await waiting).stdout).toBe("137\n");
      const inner = await up(image, "sleep", "300");
      expect((await g("exec", inner, "sh", "-c", "kill -TERM $$; sleep 5")).status).toBe(143);
    },
  },
  {
    name: "create, start, wait, logs, rm",
    async run({ ok, g, flags }) {
      const name = fresh();
      const id = await ok("create", ...flags, "--name", name, image, "sh", "-c", "echo made; exit 4");
      expect(id).toMatch(/^[0-9a-f]{64}$/);
      expect((await state(ok, name)).Status).toBe("created");
      expect(await ok("start", name)).toBe(name);
      expect(await ok("wait", name)).toBe("4");
      expect(await ok("logs", name)).toBe("made");
      expect(await state(ok, name)).toMatchObject({
        Status: "exited",
        ExitCode: 4,
        OOMKilled: false,
        Running: false,
      });
      expect(await ok("rm", name)).toBe(name);
      expect((await g("inspect", name)).status).toBe(1);
    },
  },
  {
    name: "start -a gives the output and the exit status",
    async run({ ok, g, flags }) {
      const name = fresh();
      await ok("create", ...flags, "--name", name, image, "sh", "-c", "echo again; exit 5");
      expect(await g("start", "-a", name)).toMatchObject({ status: 5, stdout: "again\n" });
      await ok("rm", name);
    },
  },
  {
    name: "-d, --name, ps with its columns, filters and formats",
    async run({ ok, up, wall }) {
      const name = fresh();
      const id = await up("--name", name, "--label", "role=web", image, "sleep", "300");
      const line = (await ok("ps")).split("\n").find((row) => row.includes(name));
      expect(line).toContain(id.slice(0, 12));
      expect(line).toContain("busybox");
      expect(line).toContain(wall);
      expect(await ok("ps", "-q", "--filter", `name=${name}`)).toBe(id.slice(0, 12));
      expect(await ok("ps", "-q", "--no-trunc", "--filter", "label=role=web")).toBe(id);
      expect(await ok("ps", "-q", "--filter", "label=role=other")).toBe("");
      expect(await ok("ps", "--format", "{{.Names}} {{.Image}}", "--filter", `id=${id}`)).toBe(
        `${name} busybox`,
      );
      expect(JSON.parse(await ok("ps", "--json"))).toContainEqual(expect.objectContaining({ Names: name }));
      await ok("kill", name);
      await ok("wait", name);
      expect(await ok("ps", "-q")).toBe("");
      expect(await ok("ps", "-aq", "--filter", "status=exited")).toBe(id.slice(0, 12));
    },
  },
  {
    name: "--rm removes the instance and its anonymous volumes at its end",
    async run({ g, ok, flags }) {
      const name = fresh();
      await ok("run", "-d", "--rm", ...flags, "--name", name, "-v", "/data", image, "sleep", "0.2");
      await eventually("removal", async () => (await g("inspect", name)).status === 1, 20_000);
      expect(await ok("volume", "ls", "-q")).toBe("");
    },
  },
  {
    name: "stop: the image's or --stop-signal, --stop-timeout and then SIGKILL; stopping twice is no error",
    async run({ ok, up }) {
      const polite = await up(
        "--stop-signal",
        "USR1",
        image,
        "sh",
        "-c",
        "trap 'exit 7' USR1; while :; do sleep 0.05; done",
      );
      await Bun.sleep(500);
      await ok("stop", polite);
      expect(await state(ok, polite)).toMatchObject({ Status: "exited", ExitCode: 7 });
      await ok("stop", polite);
      const deaf = await up(
        "--stop-timeout",
        "1",
        image,
        "sh",
        "-c",
        "trap '' TERM; while :; do sleep 0.05; done",
      );
      await Bun.sleep(500);
      const began = Date.now();
      await ok("stop", deaf);
      expect(Date.now() - began).toBeGreaterThan(900);
      expect(await state(ok, deaf)).toMatchObject({ ExitCode: 137, OOMKilled: false });
    },
  },
  {
    name: "stop -t 0 and kill -s",
    async run({ ok, up }) {
      const one = await up(image, "sleep", "300");
      await ok("stop", "-t", "0", one);
      expect((await state(ok, one)).ExitCode).toBe(137);
      const two = await up(
        image,
        "sh",
        "-c",
        "trap 'echo hup' HUP; echo ready; while :; do sleep 0.05; done",
      );
      await eventually("readiness", async () => (await ok("logs", two)).includes("ready"));
      await ok("kill", "-s", "HUP", two);
      await eventually("the trap", async () => (await ok("logs", two)).includes("hup"));
      await ok("kill", two);
      expect(await ok("wait", two)).toBe("137");
    },
  },
  {
    name: "restart keeps id, name and writable layer",
    async run({ g, ok, up }) {
      const id = await up(image, "sh", "-c", "echo boot >> /boots; sleep 300");
      const boots = async () => (await g("exec", id, "cat", "/boots")).stdout;
      await eventually("first write", async () => (await boots()) === "boot\n");
      await ok("restart", "-t", "0", id);
      await eventually("second write", async () => (await boots()) === "boot\nboot\n");
    },
  },
  {
    name: "stop and start keep the writable layer; start on a running one is no error",
    async run({ ok, up }) {
      const id = await up(image, "sh", "-c", "date +%N >> /starts; sync; sleep 300");
      await ok("exec", id, "sh", "-c", "echo kept > /etc/kept");
      await ok("stop", "-t", "0", id);
      await ok("start", id);
      await ok("start", id);
      expect(await ok("exec", id, "cat", "/etc/kept")).toBe("kept");
    },
  },
  {
    name: "rm: refuses a running one, -f removes it, -v takes anonymous volumes",
    async run({ g, ok, up }) {
      const id = await up("-v", "/data", image, "sleep", "300");
      const refused = await g("rm", id);
      expect(refused.status).toBe(1);
      expect(refused.stderr.trim().split("\n")).toHaveLength(1);
      await ok("rm", "-f", "-v", id);
      expect(await ok("volume", "ls", "-q")).toBe("");
    },
  },
  {
    name: "rename",
    async run({ ok, g, up }) {
      const [before, after] = [fresh(), fresh()];
      await up("--name", before, image, "sleep", "300");
      await ok("rename", before, after);
      expect((await g("inspect", before)).status).toBe(1);
      expect(JSON.parse(await ok("inspect", after))[0].Name).toBe(`/${after}`);
    },
  },
  {
    name: "names are unique, ids may be shortened",
    async run({ g, up, ok, flags }) {
      const name = fresh();
      const id = await up("--name", name, image, "sleep", "300");
      const clash = await g("create", ...flags, "--name", name, image);
      expect(clash.status).toBe(125);
      expect(clash.stderr).toContain(name);
      expect(JSON.parse(await ok("inspect", id.slice(0, 6)))[0].Id).toBe(id);
    },
  },
  {
    name: "pause and unpause",
    async run({ ok, up }) {
      const id = await up(image, "sh", "-c", "while :; do echo x >> /ticks; sleep 0.05; done");
      await Bun.sleep(300);
      await ok("pause", id);
      expect(await state(ok, id)).toMatchObject({ Status: "paused", Paused: true });
      expect(await ok("ps", "--format", "{{.Status}}", "--filter", `id=${id}`)).toContain("Paused");
      await ok("unpause", id);
      expect((await state(ok, id)).Status).toBe("running");
      const size = async () => Number(await ok("exec", id, "sh", "-c", "wc -c < /ticks"));
      const before = await size();
      await eventually("ticking", async () => (await size()) > before);
    },
  },
  {
    name: "restart policies: on-failure with a limit, always, and not after a user's stop",
    async run({ ok, up }) {
      const failing = await up("--restart", "on-failure:2", image, "sh", "-c", "echo try; exit 1");
      await eventually(
        "two retries",
        async () => {
          const [found] = JSON.parse(await ok("inspect", failing));
          return found.State.Status === "exited" && found.RestartCount === 2;
        },
        40_000,
      );
      expect(await ok("logs", failing)).toBe("try\ntry\ntry");
      const always = await up("--restart", "always", image, "sh", "-c", "echo up; sleep 0.3");
      await eventually("a restart", async () => (await ok("logs", always)).split("\n").length >= 2, 30_000);
      await ok("stop", "-t", "1", always);
      await Bun.sleep(1500);
      expect((await state(ok, always)).Status).toBe("exited");
    },
  },
  {
    name: "wait on several, and on one that has ended",
    async run({ ok, up }) {
      const one = await up(image, "sh", "-c", "sleep 0.5; exit 2");
      const two = await up(image, "sh", "-c", "exit 9");
      expect(await ok("wait", one, two)).toBe("2\n9");
      expect(await ok("wait", one)).toBe("2");
    },
  },
  {
    name: "events tell create, start, die, destroy in order with attributes",
    async run({ ok, g, flags }) {
      const name = fresh();
      const since = String(Date.now() / 1000 - 0.001);
      await ok("run", "--rm", ...flags, "--name", name, image, "true");
      await eventually("the removal", async () => (await g("inspect", name)).status === 1);
      const text = await ok(
        "events",
        "--since",
        since,
        "--until",
        String(Date.now() / 1000 + 0.5),
        "--filter",
        `container=${name}`,
        "--json",
      );
      const seen = text
        .split("\n")
        .map((line) => JSON.parse(line) as { Action: string; Actor: { Attributes: Record<string, string> } });
      expect(
        seen.map(({ Action }) => Action).filter((action) => /^(create|start|die|destroy)$/.test(action)),
      ).toEqual(["create", "start", "die", "destroy"]);
      expect(seen.find(({ Action }) => Action === "die")!.Actor.Attributes).toMatchObject({
        exitCode: "0",
        name,
      });
    },
  },
  {
    name: "inspect tells what was asked and what is",
    async run({ ok, up, wall }) {
      const name = fresh();
      const id = await up("--name", name, "-e", "A=b", "-m", "128m", "--label", "x=y", image, "sleep", "300");
      const [found] = JSON.parse(await ok("inspect", name));
      expect(found).toMatchObject({
        Id: id,
        Name: `/${name}`,
        Isolation: wall,
        State: { Status: "running", Running: true },
      });
      expect(found.Config.Env).toContain("A=b");
      expect(found.Config.Labels).toMatchObject({ x: "y" });
      expect(found.HostConfig.Memory).toBe(128 << 20);
      expect(await ok("inspect", "--format", "{{.State.Status}} {{.HostConfig.Memory}}", name)).toBe(
        `running ${128 << 20}`,
      );
      expect(found.State.Pid).toBeGreaterThan(0);
    },
  },
  {
    name: "stats speak of the workload",
    async run({ engine, ok, up }) {
      const id = await up("-m", "128m", "--pids-limit", "50", image, "sh", "-c", "while :; do :; done");
      await Bun.sleep(1500);
      const answer = await fetch(`http://gantry/v1/instances/${id}/stats`, {
        unix: `${engine.run}/gantry.sock`,
        headers: { connection: "close" },
      });
      const row = (await answer.json()) as Record<string, number>;
      expect(row.cpuNs).toBeGreaterThan(200_000_000);
      expect(row.memory).toBeGreaterThan(0);
      expect(row.memory).toBeLessThan(64 << 20);
      expect(row.memoryLimit).toBe(128 << 20);
      expect(row.pids).toBe(1);
      expect(await ok("stats", "--no-stream", id)).toContain("CPU %");
    },
  },
];
