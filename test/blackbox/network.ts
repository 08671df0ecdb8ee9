import { expect } from "bun:test";
import { execFileSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { eventually } from "../lib/engine.ts";
import { type Case, fresh, image } from "./case.ts";

/** One exchange over TCP from the host; "" when it is refused or silent. */
export function ask(port: number, host = "127.0.0.1", patience = 3000): Promise<string> {
  return new Promise((done) => {
    const socket = connect({ port, host });
    let text = "";
    const end = () => {
      socket.destroy();
      done(text);
    };
    const timer = setTimeout(end, patience);
    socket.on("data", (part) => {
      text += part;
    });
    socket.on("error", end);
    socket.on("close", () => {
      clearTimeout(timer);
      done(text);
    });
  });
}

const serve = (word: string) => ["sh", "-c", `while :; do echo ${word} | nc -l -p 80; done`];

/** A port that is free now. */
const freePort = (): Promise<number> =>
  new Promise((done) => {
    const server = createServer().listen(0, "0.0.0.0", () => {
      const { port } = server.address() as { port: number };
      server.close(() => done(port));
    });
  });

export const network: Case[] = [
  {
    name: "nat: an address, a route, the gateway answers; none: only lo",
    async run({ run }) {
      const nat = await run(
        image,
        "sh",
        "-c",
        "ip -4 -o addr show eth0 | wc -l; ip route | grep -c default; ping -c 1 -W 2 $(ip route | awk '/default/{print $3}') >/dev/null && echo reached",
      );
      expect(nat.stdout).toBe("1\n1\nreached\n");
      expect(
        (await run("--network", "none", image, "sh", "-c", "ls /sys/class/net | tr '\\n' ' '")).stdout.trim(),
      ).toBe("lo");
    },
  },
  {
    name: "instances reach each other by name and address, across the walls",
    async run({ up, ok, wall }) {
      const other = wall === "vm" ? "container" : "vm";
      const [a, b] = [fresh("server"), fresh("across")];
      await up("--name", a, image, ...serve(`i-am-${a}`));
      await ok("run", "-d", "--isolation", other, "--name", b, image, ...serve(`i-am-${b}`));
      await eventually(
        "the answer",
        async () => (await ok("exec", b, "sh", "-c", `nc -w 2 ${a} 80 || true`)).includes(`i-am-${a}`),
        15_000,
        300,
      );
      await eventually(
        "the answer back",
        async () => (await ok("exec", a, "sh", "-c", `nc -w 2 ${b} 80 || true`)).includes(`i-am-${b}`),
        15_000,
        300,
      );
    },
  },
  {
    name: "-p: from localhost and the host's address, fixed and chosen ports, port, conflicts",
    async run({ up, ok, g, flags }) {
      const port = await freePort();
      const id = await up("-p", `${port}:80`, "-p", "127.0.0.1::80", image, ...serve("published"));
      await eventually("the service", async () => (await ask(port)) === "published\n", 15_000, 200);
      const chosen = Number(/127\.0\.0\.1:(\d+)/.exec(await ok("port", id))![1]);
      expect(await ok("port", id)).toContain(`80/tcp -> 0.0.0.0:${port}`);
      await eventually("the chosen port", async () => (await ask(chosen)) === "published\n", 5000, 200);
      const taken = await g("run", "--rm", ...flags, "-p", `${port}:80`, image, "true");
      expect(taken.status).toBe(125);
      expect(taken.stderr).toContain(String(port));
      await ok("rm", "-f", id);
      expect(await ask(port, "127.0.0.1", 500)).toBe("");
    },
  },
  {
    name: "-p: udp and ranges",
    async run({ up, folder }) {
      const port = await freePort();
      const answerer = join(folder, "udp-answer");
      execFileSync("gcc", ["-static", "-o", answerer, join(import.meta.dir, "../fixtures/udp-answer.c")]);
      await up(
        ...["-p", `127.0.0.1:${port}-${port + 1}:80-81`, "-p", `127.0.0.1:${port}:53/udp`],
        ...["-v", `${answerer}:/udp-answer:ro`, image, "sh", "-c"],
        "(while :; do echo second | nc -l -p 81; done) & /udp-answer 53 datagram & while :; do echo first | nc -l -p 80; done",
      );
      await eventually("the range's first", async () => (await ask(port)) === "first\n", 15_000, 200);
      await eventually("the range's second", async () => (await ask(port + 1)) === "second\n", 15_000, 200);
      await eventually(
        "the datagram",
        async () => {
          let got = "";
          const socket = createSocket("udp4");
          socket.on("message", (data) => {
            got = data.toString();
          });
          socket.on("error", () => {});
          socket.send("ping", port, "127.0.0.1");
          await Bun.sleep(400);
          socket.close();
          return got === "datagram\n";
        },
        15_000,
        200,
      );
    },
  },
  {
    name: "a published port of an instance that is stopped is free again, and comes back with it",
    async run({ up, ok }) {
      const port = await freePort();
      const id = await up("-p", `${port}:80`, image, ...serve("back"));
      await eventually("the service", async () => (await ask(port)) === "back\n", 15_000, 200);
      await ok("stop", "-t", "0", id);
      expect(await ask(port, "127.0.0.1", 500)).toBe("");
      await ok("start", id);
      await eventually("the service again", async () => (await ask(port)) === "back\n", 15_000, 200);
    },
  },
];
