import { Agent, request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import type { Duplex } from "node:stream";
import { type ErrorCode, errorCodes, GantryError } from "../model/errors.ts";

export interface TransportOptions {
  /** The engine's unix socket. */
  socket: string;
  project: string;
  /** Called when nothing answers on the socket; the request is then tried once more. */
  onRefused?: () => Promise<void>;
}

export type Query = Record<string, string | number | boolean | readonly string[] | undefined>;

export interface Request {
  query?: Query;
  body?: unknown;
  /** Sent as the body, at the engine's pace. */
  upload?: AsyncIterable<Uint8Array>;
  signal?: AbortSignal;
}

const answerLimit = 64 << 20;
const lineLimit = 16 << 20;

/** One part of a path, which may hold anything. */
export const part = (text: string): string => encodeURIComponent(text);

/** The error that an answer's body tells. */
function readError(status: number, text: string): GantryError {
  try {
    const { error } = JSON.parse(text) as {
      error: { code: ErrorCode; message: string; exitStatus?: number };
    };
    if (errorCodes.includes(error.code))
      return new GantryError(error.code, String(error.message), { exitStatus: error.exitStatus });
  } catch {} // not ours: told below
  return new GantryError("internal", `the engine answered with HTTP status ${status}: ${text.slice(0, 200)}`);
}

/** Passes a value on, unless it is the error of a stream that failed midway. */
function orThrow<T>(value: T): T {
  const error = (value as { error?: unknown } | null)?.error;
  if (typeof error === "object" && error !== null) throw readError(200, JSON.stringify(value));
  return value;
}

async function collect(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const piece of response as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > answerLimit)
      throw new GantryError("internal", `the engine's answer is larger than ${answerLimit} bytes`);
    parts.push(piece);
  }
  return Buffer.concat(parts).toString("utf8");
}

/** HTTP over the engine's unix socket, with nothing but node:http. */
export class Transport {
  readonly options: TransportOptions;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(options: TransportOptions) {
    this.options = options;
  }

  /** Ends kept connections. */
  close(): void {
    this.#agent.destroy();
  }

  #failure(error: NodeJS.ErrnoException): GantryError {
    const { socket } = this.options;
    if (error.name === "AbortError") return new GantryError("canceled", "the request was canceled");
    if (error.code === "EACCES")
      return new GantryError("denied", `no permission to use ${socket}: run as root`, { cause: error });
    if (error.code === "ENOENT" || error.code === "ECONNREFUSED")
      return new GantryError("unavailable", `no engine answers on ${socket}: start it with "gantry daemon"`, {
        cause: error,
      });
    return new GantryError("unavailable", `the connection to the engine was lost: ${error.message}`, {
      cause: error,
    });
  }

  #target(path: string, query: Query = {}): string {
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      if (value === undefined) continue;
      if (Array.isArray(value)) for (const item of value) search.append(name, item);
      else search.append(name, String(value));
    }
    const text = search.toString();
    return text === "" ? path : `${path}?${text}`;
  }

  async #once(
    method: string,
    path: string,
    request: Request,
    extra: RequestOptions,
  ): Promise<{ response: IncomingMessage; socket?: Duplex; head?: Buffer }> {
    const body = request.body === undefined ? undefined : JSON.stringify(request.body);
    return new Promise((resolve, reject) => {
      const outgoing = httpRequest({
        socketPath: this.options.socket,
        agent: this.#agent,
        method,
        path: this.#target(path, request.query),
        signal: request.signal,
        ...extra,
        headers: {
          host: "gantry",
          "x-gantry-project": this.options.project,
          ...(body === undefined
            ? {}
            : { "content-type": "application/json", "content-length": Buffer.byteLength(body) }),
          ...(request.upload ? { "content-type": "application/x-tar" } : {}),
          ...extra.headers,
        },
      });
      let refused = false;
      outgoing.on("response", (response) => {
        refused = (response.statusCode ?? 500) >= 300;
        response.once("close", () => {
          if (refused) outgoing.destroy();
        });
        resolve({ response });
      });
      outgoing.on("upgrade", (response, socket, head) => resolve({ response, socket, head }));
      outgoing.on("error", reject);
      if (!request.upload) return void outgoing.end(body);
      void (async () => {
        try {
          for await (const piece of request.upload!) {
            if (outgoing.destroyed || refused) return;
            if (outgoing.write(piece)) continue;
            await new Promise<void>((next) => {
              const finish = () => {
                outgoing.removeListener("drain", finish);
                outgoing.removeListener("close", finish);
                next();
              };
              outgoing.on("drain", finish);
              outgoing.on("close", finish);
            });
          }
          outgoing.end();
        } catch (error) {
          outgoing.destroy(error as Error); // the source failed: its error is the request's
        }
      })();
    });
  }

  async #send(method: string, path: string, request: Request, extra: RequestOptions = {}) {
    const { onRefused } = this.options;
    try {
      // An upload can be sent only once, so the engine must be there before it begins.
      if (request.upload && onRefused) await this.json("GET", "/v1/ping");
      return await this.#once(method, path, request, extra);
    } catch (error) {
      if (error instanceof GantryError) throw error;
      const { code } = error as NodeJS.ErrnoException;
      if ((code !== "ENOENT" && code !== "ECONNREFUSED") || !onRefused || request.upload)
        throw this.#failure(error as NodeJS.ErrnoException);
    }
    await onRefused();
    try {
      return await this.#once(method, path, request, extra);
    } catch (error) {
      throw this.#failure(error as NodeJS.ErrnoException);
    }
  }

  async #open(method: string, path: string, request: Request): Promise<IncomingMessage> {
    const { response } = await this.#send(method, path, request);
    const status = response.statusCode ?? 500;
    if (status < 300) return response;
    throw readError(status, await collect(response));
  }

  /** One JSON value, or undefined for an empty answer. Throws the engine's GantryError. */
  async json<T>(method: string, path: string, request: Request = {}): Promise<T> {
    const response = await this.#open(method, path, request);
    let text: string;
    try {
      text = await collect(response);
    } catch (error) {
      throw error instanceof GantryError ? error : this.#failure(error as NodeJS.ErrnoException);
    }
    if (text === "") return undefined as T;
    return orThrow(JSON.parse(text) as T);
  }

  /** Sends the request and waits for the head of its answer: from then on it counts. The value comes later. */
  async late<T>(method: string, path: string, request: Request = {}): Promise<{ value: Promise<T> }> {
    const response = await this.#open(method, path, request);
    const value = collect(response).then(
      (text) => orThrow(JSON.parse(text) as T),
      (error) => {
        throw this.#failure(error);
      },
    );
    value.catch(() => {}); // the caller may never look
    return { value };
  }

  /** JSON values, one a line, until the stream ends. */
  async *lines<T>(method: string, path: string, request: Request = {}): AsyncGenerator<T> {
    const response = await this.#open(method, path, request);
    const decoder = new TextDecoder();
    let rest = "";
    try {
      for await (const piece of response as AsyncIterable<Buffer>) {
        rest += decoder.decode(piece, { stream: true });
        if (rest.length > lineLimit)
          throw new GantryError("internal", "the engine sent a line that is too long");
        let start = 0;
        for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n", start)) {
          yield orThrow(JSON.parse(rest.slice(start, end)) as T);
          start = end + 1;
        }
        rest = rest.slice(start);
      }
    } catch (error) {
      throw error instanceof GantryError ? error : this.#failure(error as NodeJS.ErrnoException);
    } finally {
      response.destroy();
    }
  }

  /** A stream of bytes and the answer's headers. */
  async bytes(
    method: string,
    path: string,
    request: Request = {},
  ): Promise<{ headers: NodeJS.Dict<string | string[]>; body: AsyncIterable<Uint8Array> }> {
    const response = await this.#open(method, path, request);
    return { headers: response.headers, body: response as AsyncIterable<Uint8Array> };
  }

  /** Upgrades the connection to frames. `head` is what came with the answer already. */
  async session(path: string, request: Request = {}): Promise<{ socket: Duplex; head: Buffer }> {
    const { response, socket, head } = await this.#send("GET", path, request, {
      agent: false,
      headers: { connection: "Upgrade", upgrade: "gantry-frames" },
    });
    if (socket) return { socket, head: head ?? Buffer.alloc(0) };
    throw readError(response.statusCode ?? 500, await collect(response));
  }
}
