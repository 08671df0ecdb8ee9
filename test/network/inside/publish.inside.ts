import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { Undo } from "../../../src/lib/undo.ts";
import type { PortBinding } from "../../../src/model/instance.ts";
import type { Attachment, Network } from "../../../src/ports/network.ts";
import {
  ask,
  endWorld,
  hostAddress,
  internetAddress,
  makeNetwork,
  makeWorld,
  probeStart,
  request,
  serve,
  sh,
  type World,
} from "../bed.ts";

let world: World;
let network: Network;
let web: Attachment;
let other: Attachment;

const port = (
  hostPort: number,
  containerPort: number,
  protocol: "tcp" | "udp" = "tcp",
  hostIp = "0.0.0.0",
): PortBinding => ({
  hostIp,
  hostPort,
  containerPort,
  protocol,
});

const attach = async (ports: PortBinding[]): Promise<Attachment> => {
  await using undo = new Undo();
  const attachment = await network.attach(request({ ports }), undo);
  undo.release();
  return attachment;
};

beforeAll(async () => {
  world = await makeWorld();
  network = makeNetwork(world).network;
  web = await attach([
    port(8080, 80),
    port(8080, 53, "udp"),
    port(8081, 80, "tcp", "127.0.0.1"),
    port(8082, 80, "tcp", hostAddress),
    ...Array.from({ length: 10 }, (_, n) => port(9000 + n, 7000 + n)),
  ]);
  other = await attach([]);
  await serve(web.netns, "tcp", "0.0.0.0", 80, "web");
  await serve(web.netns, "udp", "0.0.0.0", 53, "names");
  await serve(web.netns, "tcp", "0.0.0.0", 7009, "ninth");
});
afterAll(async () => {
  await network.teardown();
  await endWorld(world);
});

// With br_netfilter the bridge's own traffic passes the IPv4 chains too; Docker turns it on, others turn it off.
for (const filtered of ["1", "0"]) {
  const set = () => writeFile("/proc/sys/net/bridge/bridge-nf-call-iptables", filtered);
  const label = `(bridge-nf-call-iptables=${filtered})`;

  test(`tcp and udp from outside, with the true source address ${label}`, async () => {
    await set();
    expect(await ask(world.internet, "tcp", hostAddress, 8080)).toBe(`web ${internetAddress}`);
    expect(await ask(world.internet, "udp", hostAddress, 8080)).toBe(`names ${internetAddress}`);
  });

  test(`from the host by each of its addresses ${label}`, async () => {
    await set();
    for (const address of ["127.0.0.1", "127.0.0.53", hostAddress, web.gateway!]) {
      expect(await ask(undefined, "tcp", address, 8080)).toStartWith("web ");
      expect(await ask(undefined, "udp", address, 8080)).toStartWith("names ");
    }
  });

  test(`from another instance and from itself ${label}`, async () => {
    await set();
    for (const netns of [other.netns, web.netns])
      for (const address of [hostAddress, web.gateway!]) {
        expect(await ask(netns, "tcp", address, 8080)).toBe(`web ${web.gateway}`);
        expect(await ask(netns, "udp", address, 8080)).toBe(`names ${web.gateway}`);
      }
  });
}

test("a range maps port by port", async () => {
  expect(await ask(world.internet, "tcp", hostAddress, 9009)).toBe(`ninth ${internetAddress}`);
});

test("a port published on one address is published there alone", async () => {
  expect(await ask(undefined, "tcp", "127.0.0.1", 8081)).toStartWith("web");
  expect(await ask(undefined, "tcp", hostAddress, 8081)).toBe("ECONNREFUSED");
  expect(await ask(world.internet, "tcp", hostAddress, 8081)).toBe("ECONNREFUSED");
  expect(await ask(world.internet, "tcp", hostAddress, 8082)).toStartWith("web");
  expect(await ask(undefined, "tcp", "127.0.0.1", 8082)).toBe("ECONNREFUSED");
});

test("a neighbour that routes 127.0.0.1 to the host does not reach a port published on localhost", async () => {
  const inInternet = (...argv: string[]) => sh("nsenter", `--net=${world.internet}`, ...argv);
  await inInternet("sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1");
  await inInternet("ip", "addr", "del", "127.0.0.1/8", "dev", "lo");
  await inInternet("ip", "route", "add", "127.0.0.1", "via", hostAddress, "src", internetAddress);
  expect(await ask(world.internet, "tcp", "127.0.0.1", 8081, 700)).toBe("timeout");
});

test("a port of another instance is refused by name", async () => {
  await expect(attach([port(8080, 1)])).rejects.toMatchObject({
    code: "conflict",
    message: expect.stringMatching(/0\.0\.0\.0:8080\/tcp/),
  });
  await expect(attach([port(8080, 1, "tcp", hostAddress)])).rejects.toMatchObject({ code: "conflict" });
  await expect(attach([port(8081, 1)])).rejects.toMatchObject({ code: "conflict" });
  await expect(attach([port(7777, 1), port(7777, 2)])).rejects.toMatchObject({
    code: "conflict",
    message: expect.stringMatching(/same instance/),
  });
});

test("a refused range leaves none of its ports taken", async () => {
  await expect(attach([port(7100, 1), port(7101, 1), port(8080, 1)])).rejects.toMatchObject({
    code: "conflict",
  });
  await network.detach(await attach([port(7100, 1), port(7101, 1)]));
});

test("the same port on different addresses goes together", async () => {
  const more = await attach([port(8081, 80, "tcp", hostAddress), port(8082, 80, "tcp", "127.0.0.1")]);
  await serve(more.netns, "tcp", "0.0.0.0", 80, "more");
  expect(await ask(world.internet, "tcp", hostAddress, 8081)).toStartWith("more");
  expect(await ask(world.internet, "tcp", hostAddress, 8082)).toStartWith("web");
  await network.detach(more);
});

test("of two that want one port at once, one gets it", async () => {
  const results = await Promise.allSettled([attach([port(7200, 1)]), attach([port(7200, 1)])]);
  expect(results.map((result) => result.status).sort()).toEqual(["fulfilled", "rejected"]);
  for (const result of results) if (result.status === "fulfilled") await network.detach(result.value);
});

test("a port that a program on the host has is refused by name", async () => {
  const tcp = await serve(undefined, "tcp", "0.0.0.0", 7300, "mine");
  const udp = await serve(undefined, "udp", "127.0.0.1", 7301, "mine");
  await expect(attach([port(7300, 1)])).rejects.toMatchObject({
    code: "conflict",
    message: expect.stringMatching(/0\.0\.0\.0:7300\/tcp.*another program/),
  });
  await expect(attach([port(7301, 1, "udp")])).rejects.toMatchObject({ code: "conflict" });
  await network.detach(await attach([port(7300, 1, "udp"), port(7301, 1)]));
  tcp.kill();
  udp.kill();
});

test("addresses that the host does not have are refused", async () => {
  await expect(attach([port(7400, 1, "tcp", "203.0.113.9")])).rejects.toMatchObject({ code: "invalid" });
  await expect(attach([port(0, 1, "udp", "203.0.113.9")])).rejects.toMatchObject({ code: "invalid" });
  await expect(attach([port(7400, 1, "tcp", "::1")])).rejects.toMatchObject({ code: "invalid" });
});

test("port 0 becomes a free one that works", async () => {
  const chosen = await attach([port(0, 80), port(0, 80), port(0, 53, "udp")]);
  const [first, second, third] = chosen.ports.map((one) => one.hostPort) as [number, number, number];
  expect(first).toBeGreaterThan(1023);
  expect(second).toBeGreaterThan(1023);
  expect(second).not.toBe(first);
  await serve(chosen.netns, "tcp", "0.0.0.0", 80, "chosen");
  await serve(chosen.netns, "udp", "0.0.0.0", 53, "chosen");
  expect(await ask(world.internet, "tcp", hostAddress, first)).toStartWith("chosen");
  expect(await ask(world.internet, "tcp", hostAddress, second)).toStartWith("chosen");
  expect(await ask(world.internet, "udp", hostAddress, third)).toStartWith("chosen");
  await network.detach(chosen);
  expect(await ask(world.internet, "tcp", hostAddress, first)).toBe("ECONNREFUSED");
});

test("port 53 can be published on all addresses, and does not take the names of the others", async () => {
  const named = await attach([port(53, 53, "udp"), port(53, 53, "tcp")]);
  await serve(named.netns, "udp", "0.0.0.0", 53, "thief");
  expect(await ask(world.internet, "udp", hostAddress, 53)).toStartWith("thief");
  expect(await ask(other.netns, "udp", other.gateway!, 53)).not.toContain("thief");
  await network.detach(named);
});

test("a UDP client that goes on sending follows the port to whoever has it", async () => {
  const client = probeStart(world.internet, "hold-udp", "udp", hostAddress, "7600");
  await Bun.sleep(500);
  for (const name of ["first", "second"]) {
    const holder = await attach([port(7600, 53, "udp")]);
    await serve(holder.netns, "udp", "0.0.0.0", 53, name);
    for (const until = Date.now() + 10_000; Date.now() < until && !client.lines.at(-1)?.startsWith(name); )
      await Bun.sleep(50);
    expect(client.lines.at(-1)).toStartWith(name);
    await network.detach(holder);
  }
  client.child.kill();
});

test("ports are of no use without a network", async () => {
  await using undo = new Undo();
  await expect(network.attach(request({ mode: "none", ports: [port(7500, 1)] }), undo)).rejects.toMatchObject(
    { code: "invalid" },
  );
});
