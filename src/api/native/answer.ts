import type { IncomingMessage, ServerResponse } from "node:http";
import { version } from "../../lib/version.ts";
import { GantryError } from "../../model/errors.ts";
import type { Engine } from "../../ports/engine.ts";
import { openApi } from "./openapi.ts";
import { readBody, routeRequest, unread } from "./request.ts";
import type { Bytes, Call } from "./route.ts";
import { errorBody } from "./status.ts";
import { routes } from "./table.ts";

let document: string | undefined;

function sendJson(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
  });
  response.end(text);
}

/** Writes one piece at the reader's pace; false when the reader has gone. */
function write(response: ServerResponse, piece: Uint8Array | string): Promise<boolean> {
  if (response.destroyed) return Promise.resolve(false);
  if (response.write(piece)) return Promise.resolve(true);
  return new Promise((resolve) => {
    const finish = () => {
      response.removeListener("drain", finish);
      response.removeListener("close", finish);
      resolve(!response.destroyed);
    };
    response.on("drain", finish);
    response.on("close", finish);
  });
}

/** Sends all pieces; the source is closed when the reader goes. A failure is passed on. */
async function pump(
  response: ServerResponse,
  source: AsyncIterable<unknown>,
  encode: (piece: unknown) => Uint8Array | string,
) {
  for await (const piece of source) if (!(await write(response, encode(piece)))) return;
}

/** Milliseconds that a client may go on sending a body that nobody wants. */
const discardTime = 5000;

/** Throws the rest of a body away until the client has seen the answer and leaves, so that it can see it. */
async function discardBody(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.complete || response.destroyed) return;
  request.resume();
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, discardTime);
    const finish = () => {
      clearTimeout(timer);
      resolve();
    };
    request.once("end", finish);
    request.once("close", finish);
    response.once("close", finish);
  });
}

async function sendLines(
  request: IncomingMessage,
  response: ServerResponse,
  lines: AsyncIterable<unknown>,
): Promise<void> {
  response.writeHead(200, { "content-type": "application/x-ndjson" });
  response.flushHeaders();
  try {
    await pump(response, lines, (line) => `${JSON.stringify(line)}\n`);
  } catch (error) {
    await write(response, `${JSON.stringify(errorBody(error).body)}\n`);
    await discardBody(request, response);
  }
  response.end();
}

async function sendBytes(response: ServerResponse, bytes: Bytes): Promise<void> {
  response.writeHead(200, { "content-type": bytes.type, ...bytes.headers });
  response.flushHeaders();
  try {
    await pump(response, bytes.body, (piece) => piece as Uint8Array);
    response.end();
  } catch {
    response.destroy(); // a cut chunked body is how HTTP says that it is not whole
  }
}

/** The source's promise, with the answer's head sent once it has not failed at once. */
async function sendLate(response: ServerResponse, value: Promise<unknown>): Promise<void> {
  const first = await Promise.race([
    value.then(() => true),
    new Promise<boolean>((resolve) => setImmediate(() => resolve(false))),
  ]);
  if (first) return sendJson(response, 200, JSON.stringify(await value));
  response.writeHead(200, { "content-type": "application/json" });
  response.flushHeaders();
  const text = await value.then(
    (done) => JSON.stringify(done),
    (error) => JSON.stringify(errorBody(error).body),
  );
  response.end(text);
}

async function dispatch(engine: Engine, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method === "GET" && request.url?.split("?")[0] === "/v1/openapi.json") {
    document ??= JSON.stringify(openApi(routes, version));
    return sendJson(response, 200, document);
  }
  const { route, project, params, query } = routeRequest(request);
  if (route.answer === "session")
    throw new GantryError(
      "invalid",
      `${route.path} needs the headers "Connection: Upgrade" and "Upgrade: gantry-frames"`,
    );
  const body = await readBody(request, route);
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  const call: Call<never, never, never> = {
    engine,
    project,
    params: params as never,
    query: query as never,
    body: body as never,
    upload: unread(request),
    signal: gone.signal,
  };
  switch (route.answer) {
    case "lines":
      return sendLines(request, response, await route.handler(call));
    case "bytes":
      return sendBytes(response, await route.handler(call));
    case "json": {
      if (route.late) return sendLate(response, route.handler(call) as Promise<unknown>);
      const value = await route.handler(call);
      if (route.response) return sendJson(response, route.status ?? 200, JSON.stringify(value));
      response.writeHead(204);
      response.end();
    }
  }
}

/** Answers while the client is still sending: it gets the whole answer at once, then leaves. */
async function refuseUpload(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  text: string,
): Promise<void> {
  response.setHeader("connection", "close");
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
  });
  response.write(text);
  await discardBody(request, response);
  response.end();
}

/** Answers one request; never throws. */
export async function answer(
  engine: Engine,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  response.setMaxListeners(0);
  response.on("error", () => {}); // the client went away
  request.on("error", () => {});
  try {
    await dispatch(engine, request, response);
  } catch (thrown) {
    if (response.headersSent || response.destroyed) return void response.destroy();
    const { status, body } = errorBody(thrown);
    const text = JSON.stringify(body);
    if (request.complete) return sendJson(response, status, text);
    await refuseUpload(request, response, status, text);
  }
}
