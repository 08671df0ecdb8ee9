import { afterAll, beforeAll, expect, test } from "bun:test";
import { Undo } from "../../../src/lib/undo.ts";
import type { Attachment, Network } from "../../../src/ports/network.ts";
import {
  endWorld,
  makeNetwork,
  makeWorld,
  memorySettings,
  request,
  sh,
  snapshot,
  type World,
} from "../bed.ts";

let world: World;
beforeAll(async () => {
  world = await makeWorld();
});
afterAll(() => endWorld(world));

async function attach(network: Network, over = {}): Promise<Attachment> {
  await using undo = new Undo();
  const attachment = await network.attach(request(over), undo);
  undo.release();
  return attachment;
}

test("a network without addresses left says so, and has one again when one is free", async () => {
  const { network } = makeNetwork(world, "aaaaaa", memorySettings(), "10.99.0.0/29");
  const five = await Promise.all(Array.from({ length: 5 }, () => attach(network)));
  const before = await snapshot();
  await expect(attach(network)).rejects.toMatchObject({
    code: "exhausted",
    message: expect.stringContaining("no address is left"),
  });
  expect(await snapshot()).toBe(before);
  await network.detach(five[2]!);
  expect((await attach(network)).address).toBe(five[2]!.address);
  await network.teardown();
});

test("a subnet that collides with a route of the host is refused by name", async () => {
  const { network } = makeNetwork(world, "aaaaaa", memorySettings(), "198.51.0.0/16");
  await expect(attach(network)).rejects.toMatchObject({
    code: "conflict",
    message: expect.stringMatching(/198\.51\.0\.0\/16.*198\.51\.100\.0\/24 on up0/),
  });
  const { network: odd } = makeNetwork(world, "aaaaaa", memorySettings(), "10.0.0.0/33");
  await expect(attach(odd)).rejects.toMatchObject({ code: "invalid" });
});

test("the subnet is chosen once and kept, beside what the host routes", async () => {
  await sh("ip", "route", "add", "10.210.128.0/24", "dev", "up0");
  const settings = memorySettings();
  const { network } = makeNetwork(world, "aaaaaa", settings);
  expect((await attach(network)).gateway).toBe("10.211.0.1");
  await network.teardown();
  await sh("ip", "route", "del", "10.210.128.0/24", "dev", "up0");
  const { network: again } = makeNetwork(world, "aaaaaa", settings);
  expect((await attach(again)).gateway).toBe("10.211.0.1");
  await again.teardown();
});

test("a bridge takes 1,023 instances, the next is told, and a new engine adopts them all", async () => {
  const { network, settings } = makeNetwork(world);
  const all = await Promise.all(Array.from({ length: 1023 }, () => attach(network, { end: "tap" })));
  const before = await snapshot();
  await expect(attach(network)).rejects.toMatchObject({
    code: "exhausted",
    message: expect.stringContaining("1023"),
  });
  expect(await snapshot()).toBe(before);
  await network.stop();
  const { network: next } = makeNetwork(world, "abcdef", settings);
  const start = Date.now();
  await next.reconcile(
    all.map((attachment) => ({ project: "default", attachment, names: [attachment.tap!] })),
  );
  const took = Date.now() - start;
  expect(took).toBeLessThan(5000);
  expect(await snapshot()).toBe(before);
  expect((await next.facts()).attached).toBe("1023");
  await next.teardown();
  expect((await sh("ip", "-br", "link")).stdout).not.toContain("abcdef");
});
