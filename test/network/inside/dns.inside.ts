import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Undo } from "../../../src/lib/undo.ts";
import { shortId } from "../../../src/model/ids.ts";
import type { Attachment, Network } from "../../../src/ports/network.ts";
import {
  endWorld,
  internetAddress,
  makeNetwork,
  makeWorld,
  probeRun,
  request,
  resolve,
  serve,
  sh,
  stopServers,
  type World,
} from "../bed.ts";

let world: World;
let network: Network;
let web: Attachment;
let asker: Attachment;
let stranger: Attachment;

const attach = async (over = {}): Promise<Attachment> => {
  await using undo = new Undo();
  const attachment = await network.attach(request(over), undo);
  undo.release();
  return attachment;
};
const ask = (name: string, type = 1, protocol = "udp", from = asker) =>
  resolve(from.netns, from.gateway!, name, type, protocol);

/** The host's resolv.conf, of this namespace alone. */
const resolvers = (...addresses: string[]) =>
  writeFileSync("/etc/resolv.conf", addresses.map((address) => `nameserver ${address}\n`).join(""));

beforeAll(async () => {
  world = await makeWorld();
  writeFileSync(join(world.folder, "resolv.conf"), "");
  await sh("mount", "--bind", join(world.folder, "resolv.conf"), "/etc/resolv.conf");
  resolvers(internetAddress);
  network = makeNetwork(world).network;
  web = await attach();
  asker = await attach();
  stranger = await attach({ project: "other" });
  network.setNames("default", web, ["Web", "www.web"]);
  network.setNames("default", asker, ["asker"]);
  network.setNames("other", stranger, ["web"]);
  await serve(world.internet, "udp", "0.0.0.0", 53, "192.0.2.53", "serve-dns");
});
afterAll(async () => {
  await network.teardown();
  await sh("umount", "/etc/resolv.conf");
  await endWorld(world);
});

const ok = (...answers: (string | undefined)[]) => ({ id: true, rcode: 0, answers: answers as string[] });
const failed = (rcode: number) => ({ id: true, rcode, answers: [] });

for (const protocol of ["udp", "tcp"]) {
  test(`names, aliases and ids resolve within the project, without case (${protocol})`, async () => {
    expect(await ask("web", 1, protocol)).toEqual(ok(web.address));
    expect(await ask("WEB", 1, protocol)).toEqual(ok(web.address));
    expect(await ask("www.web", 1, protocol)).toEqual(ok(web.address));
    expect(await ask(shortId(web.sandboxId), 1, protocol)).toEqual(ok(web.address));
    expect(await ask("web", 1, protocol, stranger)).toEqual(ok(stranger.address));
    expect(await ask("asker", 1, protocol, stranger)).not.toEqual(ok(asker.address));
  });

  test(`other names go to the host's resolvers (${protocol})`, async () => {
    expect(await ask("example.org", 1, protocol)).toEqual(ok("192.0.2.53"));
  });
}

test("AAAA and other types of an own name are empty, not an error", async () => {
  expect(await ask("web", 28)).toEqual(ok());
  expect(await ask("web", 15)).toEqual(ok());
});

test("addresses of the project have names, others have none and are not asked about outside", async () => {
  const reverse = (address: string) => `${address.split(".").reverse().join(".")}.in-addr.arpa`;
  expect(await ask(reverse(web.address!), 12)).toEqual(ok("web"));
  expect(await ask(reverse(stranger.address!), 12)).toEqual(failed(3));
  expect(await ask(reverse("10.210.200.200"), 12)).toEqual(failed(3));
});

test("a name shared by several instances gives all, and goes with the last", async () => {
  const more = await attach();
  network.setNames("default", more, ["web"]);
  expect((await ask("web")) as object).toMatchObject({ rcode: 0, answers: [web.address, more.address] });
  network.setNames("default", more, ["renamed"]);
  expect(await ask("web")).toEqual(ok(web.address));
  expect(await ask("renamed")).toEqual(ok(more.address));
  await network.detach(more);
  expect(await ask("renamed")).toEqual(ok("192.0.2.53"));
});

test("those who are no instance are refused", async () => {
  expect(await resolve(undefined, asker.gateway!, "web")).toEqual(failed(5));
});

test("a changed resolv.conf is noticed", async () => {
  await serve(undefined, "udp", "127.0.0.7", 53, "192.0.2.77", "serve-dns");
  await Bun.sleep(300);
  resolvers("127.0.0.7");
  expect(await ask("example.org")).toEqual(ok("192.0.2.77"));
  await Bun.sleep(300);
  resolvers(internetAddress);
  expect(await ask("example.org")).toEqual(ok("192.0.2.53"));
});

test("without a resolver the answer is a fast failure", async () => {
  await Bun.sleep(300);
  for (const none of [[], ["127.0.0.99"], [asker.gateway!]]) {
    resolvers(...none);
    const start = Date.now();
    expect(await ask("example.org")).toEqual(failed(2));
    expect(await ask("web")).toEqual(ok(web.address));
    expect(Date.now() - start).toBeLessThan(1500);
    await Bun.sleep(300);
  }
  resolvers(internetAddress);
});

test("a silent resolver is passed over for the next, and comes last then", async () => {
  await serve(undefined, "udp", "127.0.0.8", 53, "silent", "serve-dns");
  await Bun.sleep(300);
  resolvers("127.0.0.8", internetAddress);
  expect(await ask("example.org")).toEqual(ok("192.0.2.53"));
  const start = Date.now();
  expect(await ask("example.org")).toEqual(ok("192.0.2.53"));
  expect(Date.now() - start).toBeLessThan(1500);
});

test("a flood from one instance leaves the others their names", async () => {
  resolvers("127.0.0.8");
  await Bun.sleep(300);
  const memory = process.memoryUsage().rss;
  const flood = probeRun(stranger.netns, "flood", "udp", asker.gateway!, "53", "3000");
  await Bun.sleep(500);
  const start = Date.now();
  for (let n = 0; n < 5; n++) expect(await ask("web")).toEqual(ok(web.address));
  expect(Date.now() - start).toBeLessThan(2000);
  expect(Number(await flood)).toBeGreaterThan(5000);
  expect(process.memoryUsage().rss - memory).toBeLessThan(100 << 20);
  resolvers(internetAddress);
  await Bun.sleep(300);
  expect(await ask("example.org")).toEqual(ok("192.0.2.53"));
});

test("rubbish is survived", async () => {
  for (let size = 0; size < 60; size += 3) {
    const socket = await Bun.udpSocket({});
    socket.send(Buffer.alloc(size, size * 7), 53, asker.gateway!);
    socket.close();
  }
  expect(await ask("web")).toEqual(ok(web.address));
});

test("where someone has port 53 of all addresses, names resolve all the same", async () => {
  await network.teardown();
  stopServers();
  await Bun.sleep(100);
  await serve(undefined, "udp", "0.0.0.0", 53, "192.0.2.1", "serve-dns");
  network = makeNetwork(world, "abcdef").network;
  web = await attach();
  asker = await attach();
  network.setNames("default", web, ["web"]);
  expect((await network.facts()).dns).not.toEndWith(":53");
  expect(await ask("web")).toEqual(ok(web.address));
  expect(await ask("web", 1, "tcp")).toEqual(ok(web.address));
});

test("the names stop with the engine and come back with the next", async () => {
  await network.stop();
  expect(await ask("web", 1, "tcp")).toBe("ECONNREFUSED");
  network = makeNetwork(world, "abcdef").network;
  await network.reconcile([
    { project: "default", attachment: web, names: ["web"] },
    { project: "default", attachment: asker, names: ["asker"] },
  ]);
  expect(await ask("web")).toEqual(ok(web.address));
});
