import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { readFile, stat } from "node:fs/promises";
import { connect, isIP } from "node:net";
import { isReplyTo } from "./codec.ts";

/** Milliseconds that one resolver has; at most three are asked. */
const patience = 2000;
const most = 3;
/** Milliseconds for which a resolver that did not answer comes last. */
const penalty = 10_000;

/** The host's resolvers, and questions to them. */
export class Upstream {
  readonly #file: string;
  readonly #own: string;
  readonly #port: number;
  #stamp = "";
  #checked = 0;
  #servers: string[] = [];
  readonly #failed = new Map<string, number>();

  /** `own`: our address, never asked, since that would be a loop. `file`: the host's resolv.conf. */
  constructor(own: string, file = "/etc/resolv.conf", port = 53) {
    this.#own = own;
    this.#file = file;
    this.#port = port;
  }

  /** Addresses to ask, those that failed lately last; the file is looked at five times a second. */
  async servers(): Promise<string[]> {
    const now = performance.now();
    if (this.#stamp === "" || now - this.#checked > 200) {
      this.#checked = now;
      const info = await stat(this.#file).catch(() => undefined);
      const stamp = info ? `${info.mtimeMs} ${info.ino} ${info.size}` : "missing";
      if (stamp !== this.#stamp) {
        const text = await readFile(this.#file, "utf8").catch(() => "");
        this.#servers = parseResolvers(text).filter((server) => server !== this.#own);
        this.#failed.clear();
        this.#stamp = stamp;
      }
    }
    const late = (server: string) => ((this.#failed.get(server) ?? 0) > now ? 1 : 0);
    return [...this.#servers].sort((a, b) => late(a) - late(b)).slice(0, most);
  }

  /** Passes a query on and gives the reply with the asker's id; undefined when nobody answers. */
  async forward(message: Buffer, question: Buffer, over: "udp" | "tcp"): Promise<Buffer | undefined> {
    for (const server of await this.servers()) {
      const id = randomInt(0x10000);
      const query = Buffer.from(message);
      query.writeUInt16BE(id, 0);
      const reply = await (over === "udp" ? askUdp : askTcp)(server, this.#port, query, (found) =>
        isReplyTo(found, id, question),
      );
      if (reply) {
        this.#failed.delete(server);
        message.copy(reply, 0, 0, 2);
        return reply;
      }
      this.#failed.set(server, performance.now() + penalty);
    }
    return undefined;
  }
}

/** The `nameserver` lines of a resolv.conf. */
export const parseResolvers = (text: string): string[] =>
  [...text.matchAll(/^[ \t]*nameserver[ \t]+(\S+)/gm)]
    .map((match) => match[1]!)
    .filter((one) => isIP(one.split("%")[0]!));

type Check = (reply: Buffer) => boolean;

/** One socket a question: the kernel picks a fresh port, and only this server's packets arrive. */
function askUdp(server: string, port: number, query: Buffer, check: Check): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(isIP(server.split("%")[0]!) === 6 ? "udp6" : "udp4");
    const end = (reply?: Buffer) => {
      clearTimeout(timer);
      socket.removeAllListeners();
      socket.on("error", () => {});
      try {
        socket.close();
      } catch {} // it never opened
      resolve(reply);
    };
    const timer = setTimeout(end, patience);
    socket.on("error", () => end());
    socket.on("message", (reply: Buffer) => {
      if (check(reply)) end(reply);
    });
    socket.connect(port, server, ((error?: Error) => {
      if (error) end();
      else socket.send(query);
    }) as () => void);
  });
}

function askTcp(server: string, port: number, query: Buffer, check: Check): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: server, port });
    let held = Buffer.alloc(0);
    const end = (reply?: Buffer) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(reply);
    };
    const timer = setTimeout(end, patience);
    socket.on("error", () => end());
    socket.on("close", () => end());
    socket.on("connect", () => socket.write(withLength(query)));
    socket.on("data", (chunk: Buffer) => {
      held = Buffer.concat([held, chunk]);
      if (held.length < 2 || held.length < 2 + held.readUInt16BE(0)) return;
      const reply = held.subarray(2, 2 + held.readUInt16BE(0));
      end(check(reply) ? Buffer.from(reply) : undefined);
    });
  });
}

/** A message as TCP carries it. */
export const withLength = (message: Buffer): Buffer => {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
};
