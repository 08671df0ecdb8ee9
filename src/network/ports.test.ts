import { afterAll, expect, test } from "bun:test";
import { createServer } from "node:net";
import type { PortBinding } from "../model/instance.ts";
import { PortTable, probe } from "./ports.ts";

const binding = (hostPort: number, hostIp = "127.0.0.1", protocol: "tcp" | "udp" = "tcp"): PortBinding => ({
  hostIp,
  hostPort,
  containerPort: 80,
  protocol,
});
const one = "1".repeat(64);
const two = "2".repeat(64);

const server = createServer();
await new Promise<void>((done) => server.listen({ host: "127.0.0.1", port: 0 }, done));
const busy = (server.address() as { port: number }).port;
afterAll(() => void server.close());

test("probing tells free, busy and foreign", async () => {
  expect(await probe("tcp", "127.0.0.1", busy)).toBe("EADDRINUSE");
  expect(await probe("tcp", "0.0.0.0", busy)).toBe("EADDRINUSE");
  expect(await probe("tcp", "203.0.113.1", 0)).toBe("EADDRNOTAVAIL");
  expect(await probe("udp", "127.0.0.1", 0)).toBeNumber();
});

test("a port of a host program, and of another instance, is a conflict", async () => {
  const table = new PortTable(() => undefined);
  await expect(table.reserve(one, [binding(busy)])).rejects.toMatchObject({ code: "conflict" });
  const [got] = await table.reserve(one, [binding(0)]);
  await expect(table.reserve(two, [got!])).rejects.toMatchObject({
    code: "conflict",
    message: expect.stringContaining("111111111111"),
  });
  await expect(table.reserve(two, [{ ...got!, hostIp: "0.0.0.0" }])).rejects.toMatchObject({
    code: "conflict",
  });
  expect(
    await table.reserve(two, [
      { ...got!, hostIp: "127.0.0.2" },
      { ...got!, protocol: "udp" },
    ]),
  ).toHaveLength(2);
  table.release(two, [got!]); // not theirs
  await expect(table.reserve(two, [got!])).rejects.toMatchObject({ code: "conflict" });
  table.release(one, [got!]);
  table.release(one, [got!]);
  expect(await table.reserve(two, [got!])).toEqual([got!]);
});

test("no host address means all, and anything but IPv4 is refused", async () => {
  const table = new PortTable(() => undefined);
  const [got] = await table.reserve(one, [binding(0, "")]);
  expect(got).toMatchObject({ hostIp: "0.0.0.0" });
  for (const bad of ["::", "localhost", "1.2.3", "127.0.0.1; drop"])
    await expect(table.reserve(one, [binding(0, bad)])).rejects.toMatchObject({ code: "invalid" });
});

test("what was adopted is taken", async () => {
  const table = new PortTable(() => undefined);
  table.adopt(one, [binding(45_555, "0.0.0.0", "udp")]);
  await expect(table.reserve(two, [binding(45_555, "127.0.0.1", "udp")])).rejects.toMatchObject({
    code: "conflict",
  });
  table.clear();
  expect(await table.reserve(two, [binding(45_555, "127.0.0.1", "udp")])).toHaveLength(1);
});
