import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { createServer, type Server, type Socket } from "node:net";
import { GantryError } from "../../model/errors.ts";
import { gatewayOf, type Subnet } from "../subnet.ts";
import { encodeAnswer, encodeFormatError, encodeName, parseQuery, type Query, Rcode, Type } from "./codec.ts";
import { type Directory, reverseAddress } from "./directory.ts";
import { Limits } from "./limits.ts";
import { Upstream, withLength } from "./upstream.ts";

/** Seconds; short, since an instance that is gone must not be found for long. */
const ttl = 5;
/** Bytes of a question; none needs more. */
const longestQuery = 4096;
/** Milliseconds after which a silent TCP connection ends. */
const idle = 10_000;

/**
 * The name server of the instances, on the gateway's address. It knows the asker by the source address (which the
 * firewall keeps true), answers from the asker's project, and passes all else on to the host's resolvers.
 */
export class DnsServer {
  readonly #directory: Directory;
  readonly #subnet: Subnet;
  readonly address: string;
  readonly #upstream: Upstream;
  readonly #limits = new Limits();
  #udp: UdpSocket | undefined;
  #tcp: Server | undefined;
  readonly #connections = new Set<Socket>();
  /** Where it listens: 53, or another port when someone has that one. */
  port = 0;

  constructor(directory: Directory, subnet: Subnet, upstream = new Upstream(gatewayOf(subnet))) {
    this.#directory = directory;
    this.#subnet = subnet;
    this.address = gatewayOf(subnet);
    this.#upstream = upstream;
  }

  /** Listens on port 53, else on a free one. Throws `unavailable`. */
  async start(): Promise<void> {
    let last: unknown;
    for (const port of [53, 0, 0, 0, 0]) {
      try {
        this.#udp = await bindUdp(this.address, port);
        this.port = this.#udp.address().port;
        this.#tcp = await listenTcp(this.address, this.port);
        break;
      } catch (error) {
        last = error;
        this.#udp?.close();
        this.#udp = undefined;
      }
    }
    if (!this.#udp || !this.#tcp)
      throw new GantryError(
        "unavailable",
        `the name server cannot listen on ${this.address}: ${(last as Error).message}`,
        {
          cause: last,
        },
      );
    const udp = this.#udp;
    udp.on("error", () => {}); // an asker that went away
    udp.on("message", (message, from) => {
      void this.#answer(message, from.address, "udp").then((reply) => {
        if (reply && udp === this.#udp) udp.send(reply, from.port, from.address, () => {});
      });
    });
    this.#tcp.on("connection", (socket) => this.#serve(socket));
    this.#tcp.on("error", () => {});
    udp.unref();
    this.#tcp.unref();
  }

  stop(): void {
    this.#udp?.close();
    this.#udp = undefined;
    this.#tcp?.close();
    this.#tcp = undefined;
    for (const socket of this.#connections) socket.destroy();
  }

  get running(): boolean {
    return this.#udp !== undefined;
  }

  #serve(socket: Socket): void {
    const source = (socket.remoteAddress ?? "").replace(/^::ffff:/, "");
    socket.on("error", () => {});
    if (!this.#limits.connect(source)) {
      socket.destroy();
      return;
    }
    this.#connections.add(socket);
    socket.setTimeout(idle, () => socket.destroy());
    socket.on("close", () => {
      this.#connections.delete(socket);
      this.#limits.disconnect(source);
    });
    let held: Buffer = Buffer.alloc(0);
    let busy = false;
    const next = async () => {
      if (busy) return;
      busy = true;
      while (held.length >= 2 && !socket.destroyed) {
        const length = held.readUInt16BE(0);
        if (length === 0 || length > longestQuery) return void socket.destroy();
        if (held.length < 2 + length) break;
        const message = held.subarray(2, 2 + length);
        held = held.subarray(2 + length);
        const reply = await this.#answer(message, source, "tcp");
        if (!reply) return void socket.destroy();
        if (!socket.destroyed) socket.write(withLength(reply));
      }
      busy = false;
    };
    socket.on("data", (chunk: Buffer) => {
      held = Buffer.concat([held, chunk]);
      if (held.length > 4 * longestQuery || socket.writableLength > 1 << 18) socket.destroy();
      else void next();
    });
  }

  async #answer(message: Buffer, source: string, over: "udp" | "tcp"): Promise<Buffer | undefined> {
    const asker = this.#directory.owner(source);
    if (message.length > longestQuery || !this.#limits.question(source)) return undefined;
    const query = parseQuery(message);
    if (!query) return encodeFormatError(message);
    if (!asker) return encodeAnswer(query, Rcode.refused, [], false);
    if (query.opcode !== 0) return encodeAnswer(query, Rcode.notImplemented, [], false);
    const own = this.#own(query, asker.project);
    if (own) return own;
    if (!this.#limits.begin(source)) return encodeAnswer(query, Rcode.serverFailure, [], false);
    try {
      const reply = await this.#upstream.forward(message, query.question, over);
      return reply ?? encodeAnswer(query, Rcode.serverFailure, [], false);
    } catch {
      return encodeAnswer(query, Rcode.serverFailure, [], false);
    } finally {
      this.#limits.end(source);
    }
  }

  /** The answer when the name is ours to answer. */
  #own(query: Query, project: string): Buffer | undefined {
    if (query.class !== 1) return undefined;
    const addresses = this.#directory.resolve(project, query.name);
    if (addresses) {
      const wanted = query.type === Type.A || query.type === Type.ANY;
      const answers = (wanted ? addresses.slice(0, 24) : []).map((address) => ({
        type: Type.A,
        ttl,
        data: Buffer.from(address.split(".").map(Number)),
      }));
      return encodeAnswer(query, Rcode.ok, answers, true);
    }
    const address = reverseAddress(query.name, this.#subnet);
    if (address === undefined) return undefined;
    const name = encodeName(this.#directory.nameOf(project, address) ?? "");
    if (!name || name.length === 1) return encodeAnswer(query, Rcode.noName, [], true);
    const wanted = query.type === Type.PTR || query.type === Type.ANY;
    return encodeAnswer(query, Rcode.ok, wanted ? [{ type: Type.PTR, ttl, data: name }] : [], true);
  }
}

const bindUdp = (address: string, port: number): Promise<UdpSocket> =>
  new Promise((resolve, reject) => {
    const socket = createSocket("udp4");
    socket.once("error", (error) => {
      socket.close();
      reject(error);
    });
    socket.bind({ address, port, exclusive: true }, () => {
      socket.removeAllListeners("error");
      resolve(socket);
    });
  });

const listenTcp = (address: string, port: number): Promise<Server> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen({ host: address, port, exclusive: true }, () => {
      server.removeListener("error", reject);
      resolve(server);
    });
  });
