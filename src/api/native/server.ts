import { chmodSync, unlinkSync } from "node:fs";
import { createServer as createHttpServer, type IncomingMessage, type Server } from "node:http";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Paths } from "../../lib/paths.ts";
import { GantryError } from "../../model/errors.ts";
import type { Engine } from "../../ports/engine.ts";
import { answer } from "./answer.ts";
import { upgrade } from "./upgrade.ts";

export interface ApiServer {
  /** Binds the socket (mode 0600); throws `conflict` when another engine answers there. */
  listen(): Promise<void>;
  /** Stops accepting, ends every connection, removes the socket. */
  close(): Promise<void>;
}

const connectionLimit = 1024;
/** A client must have sent the head of its request by then (ms). */
const headTimeout = 10_000;

/** True when something accepts connections on the socket. */
const answers = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });

function bind(server: Server, path: string): Promise<void> {
  // The socket must never be open to others, not even between bind and chmod.
  const mask = process.umask(0o177);
  try {
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, () => {
        server.removeListener("error", reject);
        chmodSync(path, 0o600);
        resolve();
      });
    });
  } finally {
    process.umask(mask);
  }
}

/** The native HTTP API on the unix socket of `paths`. */
export function createServer(options: { engine: Engine; paths: Pick<Paths, "socket"> }): ApiServer {
  const { engine, paths } = options;
  const connections = new Set<Socket | Duplex>();
  const server = createHttpServer({
    headersTimeout: headTimeout,
    requestTimeout: 0,
    keepAliveTimeout: 30_000,
  });
  server.on("connection", (socket: Socket) => {
    if (connections.size >= connectionLimit) return void socket.destroy();
    connections.add(socket);
    socket.on("error", () => {}); // a client that resets its connection is no news
    socket.on("close", () => connections.delete(socket));
  });
  server.on("request", (request, response) => void answer(engine, request, response));
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    connections.add(socket);
    socket.on("close", () => connections.delete(socket));
    void upgrade(engine, request, socket, head);
  });
  server.on("clientError", (_error, socket: Duplex) => {
    if (!socket.writable) return void socket.destroy();
    const body = JSON.stringify({
      error: { code: "invalid", message: "the request is not HTTP/1.1 or its head is too large" },
    });
    socket.end(
      `HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    );
  });
  return {
    async listen() {
      if (await answers(paths.socket))
        throw new GantryError(
          "conflict",
          `another engine serves ${paths.socket}; stop it, or choose another --run`,
        );
      try {
        unlinkSync(paths.socket);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      }
      await bind(server, paths.socket);
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      for (const connection of connections) connection.destroy();
      await closed;
      try {
        unlinkSync(paths.socket);
      } catch {} // gone already
    },
  };
}
