import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { connect, createServer } from "node:net";
import type { Attachment } from "../../src/ports/network.ts";
import { Bed } from "./bed.ts";

const ip = (...args: string[]) => execFileSync("ip", args, { stdio: ["ignore", "pipe", "inherit"] });

test("a VM on a tap: ping, TCP both ways, and no way around its configuration", async () => {
  await using bed = new Bed();
  const tap = `gt${bed.paths.tag}`;
  const net = `10.213.${(Number.parseInt(bed.paths.tag, 16) >> 8) & 255}`;
  ip("tuntap", "add", "dev", tap, "mode", "tap", "vnet_hdr");
  try {
    ip("addr", "add", `${net}.1/24`, "dev", tap);
    ip("link", "set", tap, "up");
    const mac = "02:67:61:6e:00:01";
    const made = bed.record(["httpd", "-f", "-p", "8080", "-h", "/etc"], { network: "nat" });
    const attachment: Attachment = {
      sandboxId: made.sandbox.id,
      mode: "nat",
      end: "tap",
      tap,
      address: `${net}.2`,
      prefix: 24,
      gateway: `${net}.1`,
      mac,
      mtu: 1500,
      ports: [],
    };
    const running = await bed.start(made, attachment);
    const shell = async (command: string) => (await running.shell(command)).output;

    expect(await shell("ip addr show dev eth0; ip route")).toMatch(
      new RegExp(`mtu 1500[\\s\\S]*${mac}[\\s\\S]*${net}\\.2/24[\\s\\S]*default via ${net}\\.1`),
    );
    expect(await shell(`ping -c 2 -W 2 ${net}.1 | tail -2`)).toContain("2 packets received");
    execFileSync("/bin/busybox", ["ping", "-c", "1", "-W", "2", `${net}.2`]);

    // Host to guest, guest to host; enough bytes for offloads to matter.
    const answer = await fetch(`http://${net}.2:8080/passwd`);
    expect(await answer.text()).toStartWith("root:");
    const big = Buffer.alloc(4 << 20, "gantry");
    const server = createServer((socket) => socket.end(big));
    await new Promise<void>((done) => server.listen(0, `${net}.1`, done));
    const { port } = server.address() as { port: number };
    expect(await shell(`nc ${net}.1 ${port} | md5sum`)).toStartWith(
      new Bun.CryptoHasher("md5").update(big).digest("hex"),
    );
    server.close();
    connect(8080, `${net}.2`).destroy();

    // Its clock and its randomness came from the host.
    expect(Math.abs(Number(await shell("date +%s")) - Date.now() / 1000)).toBeLessThan(3);
    expect((await running.supervisor.stats(made.record.id)).netRx).toBeGreaterThan(4 << 20);

    await running.supervisor.shutdown(10_000);
    expect(bed.exitRecord(made.record)?.exitCode).toBe(137);
  } finally {
    ip("link", "del", tap);
  }
}, 120_000);
