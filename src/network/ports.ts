import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { GantryError } from "../model/errors.ts";
import { shortId } from "../model/ids.ts";
import type { PortBinding } from "../model/instance.ts";
import { parseAddress } from "./subnet.ts";

const anyAddress = "0.0.0.0";

/** Binds and lets go again: the port that was free, or the error's code. */
export function probe(protocol: "tcp" | "udp", address: string, port: number): Promise<number | string> {
  return new Promise((resolve) => {
    const failed = (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message);
    if (protocol === "tcp") {
      const server = createServer();
      server.once("error", failed);
      server.listen({ host: address, port, exclusive: true }, () => {
        const bound = (server.address() as { port: number }).port;
        server.close(() => resolve(bound));
      });
    } else {
      const socket = createSocket("udp4");
      socket.once("error", (error: NodeJS.ErrnoException) => {
        socket.close();
        failed(error);
      });
      socket.bind({ address, port, exclusive: true }, () => {
        const bound = socket.address().port;
        socket.close(() => resolve(bound));
      });
    }
  });
}

/** Which instance publishes which host port. In memory: filled again by `adopt` from what lives. */
export class PortTable {
  /** By `protocol/port`, then by host address: the sandbox. */
  readonly #taken = new Map<string, Map<string, string>>();
  readonly #gateway: () => string | undefined;

  /** `gateway`: where our own DNS server listens, which a published port 53 does not collide with. */
  constructor(gateway: () => string | undefined) {
    this.#gateway = gateway;
  }

  /**
   * Takes the host ports of one sandbox, choosing those that are 0. Throws `conflict` naming the port when another
   * instance or another program has it, `invalid` for an address that the host does not have, `exhausted`.
   * Takes all or none.
   */
  async reserve(sandboxId: string, wanted: readonly PortBinding[]): Promise<PortBinding[]> {
    const got: PortBinding[] = [];
    try {
      for (const binding of wanted) {
        const hostIp = binding.hostIp === "" ? anyAddress : binding.hostIp;
        if (parseAddress(hostIp) === undefined)
          throw new GantryError(
            "invalid",
            `host address ${JSON.stringify(binding.hostIp)} of port ${binding.containerPort}/${binding.protocol} is no IPv4 address`,
          );
        const chosen = { ...binding, hostIp };
        if (binding.hostPort === 0) {
          chosen.hostPort = await this.#choose(sandboxId, chosen);
          got.push(chosen);
          continue;
        }
        this.#claim(sandboxId, chosen);
        got.push(chosen);
        await this.#checkHost(chosen);
      }
      return got;
    } catch (error) {
      this.release(sandboxId, got);
      throw error;
    }
  }

  /** Notes what a living instance has, without asking the host. */
  adopt(sandboxId: string, bindings: readonly PortBinding[]): void {
    for (const binding of bindings) this.#of(binding).set(binding.hostIp, sandboxId);
  }

  clear(): void {
    this.#taken.clear();
  }

  /** Idempotent; ports of other sandboxes stay. */
  release(sandboxId: string, bindings: readonly PortBinding[]): void {
    for (const binding of bindings) {
      const key = `${binding.protocol}/${binding.hostPort}`;
      const holders = this.#taken.get(key);
      if (holders?.get(binding.hostIp) !== sandboxId) continue;
      holders.delete(binding.hostIp);
      if (holders.size === 0) this.#taken.delete(key);
    }
  }

  #of(binding: PortBinding): Map<string, string> {
    const key = `${binding.protocol}/${binding.hostPort}`;
    const holders = this.#taken.get(key) ?? new Map<string, string>();
    this.#taken.set(key, holders);
    return holders;
  }

  #holder(binding: PortBinding): string | undefined {
    for (const [address, sandbox] of this.#taken.get(`${binding.protocol}/${binding.hostPort}`) ?? [])
      if (address === binding.hostIp || address === anyAddress || binding.hostIp === anyAddress)
        return sandbox;
    return undefined;
  }

  #claim(sandboxId: string, binding: PortBinding): void {
    const holder = this.#holder(binding);
    if (holder !== undefined)
      throw new GantryError(
        "conflict",
        `port ${binding.hostIp}:${binding.hostPort}/${binding.protocol} is already published by ${holder === sandboxId ? "the same instance" : `instance ${shortId(holder)}`}: choose another host port`,
      );
    this.#of(binding).set(binding.hostIp, sandboxId);
  }

  async #checkHost(binding: PortBinding): Promise<void> {
    const { protocol, hostIp, hostPort } = binding;
    for (const address of this.#probed(hostIp, hostPort)) {
      const result = await probe(protocol, address, hostPort);
      if (result === hostPort) continue;
      if (result === "EADDRNOTAVAIL")
        throw new GantryError(
          "invalid",
          `host address ${hostIp} of port ${hostPort}/${protocol} is not on this machine`,
        );
      throw new GantryError(
        "conflict",
        result === "EADDRINUSE"
          ? `port ${hostIp}:${hostPort}/${protocol} is in use by another program on this machine: choose another host port`
          : `port ${hostIp}:${hostPort}/${protocol} cannot be published: ${result}`,
      );
    }
  }

  /** Our own DNS server holds port 53 of the gateway alone, so "all addresses" are asked one by one there. */
  #probed(hostIp: string, hostPort: number): string[] {
    if (hostPort !== 53 || hostIp !== anyAddress) return [hostIp];
    const own = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map((one) => one.address));
    return own.filter((address) => parseAddress(address) !== undefined && address !== this.#gateway());
  }

  async #choose(sandboxId: string, binding: PortBinding): Promise<number> {
    for (let tried = 0; tried < 64; tried++) {
      const result = await probe(binding.protocol, binding.hostIp, 0);
      if (result === "EADDRNOTAVAIL")
        throw new GantryError("invalid", `host address ${binding.hostIp} is not on this machine`);
      if (typeof result !== "number") continue;
      const candidate = { ...binding, hostPort: result };
      if (this.#holder(candidate) !== undefined) continue;
      this.#claim(sandboxId, candidate);
      return result;
    }
    throw new GantryError("exhausted", `no free host port for ${binding.containerPort}/${binding.protocol}`);
  }
}
