import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { GantryError } from "../../model/errors.ts";
import type { Engine } from "../../ports/engine.ts";
import { routeRequest } from "./request.ts";
import type { Call } from "./route.ts";
import { errorBody } from "./status.ts";

/** The protocol that a client upgrades to: frames of docs/PROTOCOL.md. */
export const protocolName = "gantry-frames";

function refuse(socket: Duplex, thrown: unknown): void {
  const { status, body } = errorBody(thrown);
  const text = JSON.stringify(body);
  socket.end(
    `HTTP/1.1 ${status} Refused\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`,
  );
}

/** Milliseconds that a client may keep its half of a finished session open. */
const lingerTime = 10_000;

/** Each side's end goes to the other side's writable half; a death of either side is the death of both. */
function join(client: Duplex, session: Duplex): void {
  client.pipe(session);
  session.pipe(client);
  client.on("close", () => session.destroy());
  session.on("close", () => {
    if (!session.readableEnded) client.destroy();
  });
  client.on("finish", () => setTimeout(() => client.destroy(), lingerTime).unref());
}

/** Answers an Upgrade request with the session of its route; never throws. */
export async function upgrade(
  engine: Engine,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  socket.on("error", () => {}); // the client went away
  const gone = new AbortController();
  const leave = () => gone.abort();
  socket.on("close", leave);
  try {
    if (request.headers.upgrade?.toLowerCase() !== protocolName)
      throw new GantryError("invalid", `the only protocol to upgrade to is ${protocolName}`);
    if (request.headers["transfer-encoding"] || Number(request.headers["content-length"] ?? 0) > 0)
      throw new GantryError("invalid", "a request that upgrades takes no body");
    const { route, project, params, query } = routeRequest(request);
    if (route.answer !== "session") throw new GantryError("invalid", `${route.path} does not upgrade`);
    const call: Call<never, never, never> = {
      engine,
      project,
      params: params as never,
      query: query as never,
      body: undefined as never,
      upload: request as AsyncIterable<Uint8Array>,
      signal: gone.signal,
    };
    const session = await route.handler(call);
    session.on("error", () => {}); // told to the client by the end of its stream
    if (socket.destroyed) return void session.destroy();
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocolName}\r\n\r\n`,
    );
    if (head.length > 0) session.write(head);
    join(socket, session);
  } catch (thrown) {
    if (!socket.destroyed) refuse(socket, thrown);
  }
}
