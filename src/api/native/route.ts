import type { Static, TObject, TSchema } from "typebox";
import type { Engine } from "../../ports/engine.ts";
import type { Session } from "../../ports/supervisor.ts";

type Of<S extends TSchema | undefined> = S extends TSchema ? Static<S> : undefined;

/** What a handler gets: everything in it was checked against the route's schemas. */
export interface Call<P, Q, B> {
  engine: Engine;
  project: string;
  params: P;
  query: Q;
  body: B;
  /** The request's bytes, for routes with `upload`; pulled at the handler's pace. */
  upload: AsyncIterable<Uint8Array>;
  /** Aborted when the client goes away. */
  signal: AbortSignal;
}

/** A stream of bytes with what is known before it starts. */
export interface Bytes {
  type: string;
  headers?: Record<string, string>;
  body: AsyncIterable<Uint8Array>;
}

interface Base<P extends TObject | undefined, Q extends TObject | undefined, B extends TSchema | undefined> {
  method: "GET" | "POST" | "PUT" | "DELETE";
  /** `{name}` parts are the keys of `params`; a part is URL-encoded, so that it may hold a slash. */
  path: string;
  summary: string;
  params?: P;
  query?: Q;
  body?: B;
  /** The request's body is a stream of bytes, not JSON. */
  upload?: string;
}

type Handler<
  P extends TObject | undefined,
  Q extends TObject | undefined,
  B extends TSchema | undefined,
  R,
> = (call: Call<Of<P>, Of<Q>, Of<B>>) => Promise<R>;

/** How a route answers, and with what. */
export type RouteOf<
  P extends TObject | undefined,
  Q extends TObject | undefined,
  B extends TSchema | undefined,
  R extends TSchema | undefined,
> = Base<P, Q, B> &
  (
    | {
        /** One JSON value; without a `response` schema an empty 204. `late`: the head goes out before the value is known. */
        answer: "json";
        late?: boolean;
        status?: 200 | 201;
        response?: R;
        handler: Handler<P, Q, B, R extends TSchema ? Static<R> : void>;
      }
    | {
        /** One JSON value a line, until it ends or the client goes; a failure midway is a last line with `error`. */
        answer: "lines";
        response: R;
        handler: Handler<P, Q, B, AsyncIterable<unknown>>;
      }
    | { answer: "bytes"; response?: undefined; handler: Handler<P, Q, B, Bytes> }
    | {
        /** The connection is upgraded to `gantry-frames`: frames of docs/PROTOCOL.md both ways. */
        answer: "session";
        response?: undefined;
        handler: Handler<P, Q, B, Session>;
      }
  );

/** A route as the server sees it. */
// biome-ignore lint/suspicious/noExplicitAny: the table holds routes of all shapes; `route` has checked each
export type Route = RouteOf<any, any, any, any>;

/** Checks a route's handler against its schemas and forgets the types. */
export const route = <
  P extends TObject | undefined = undefined,
  Q extends TObject | undefined = undefined,
  B extends TSchema | undefined = undefined,
  R extends TSchema | undefined = undefined,
>(
  definition: RouteOf<P, Q, B, R>,
): Route => definition as Route;
