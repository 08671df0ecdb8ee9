import type { IncomingMessage } from "node:http";
import { GantryError } from "../../model/errors.ts";
import { checkName, defaultProject } from "../../model/ids.ts";
import type { Route } from "./route.ts";
import { findRoute } from "./table.ts";
import { check, parseJson, readQuery } from "./validate.ts";

/** Bytes of a JSON body. */
export const bodyLimit = 1 << 20;
/** Milliseconds that a client may take to send a JSON body. */
const bodyTimeout = 30_000;
const targetLimit = 64 << 10;

/** A request that found its route, everything but the body checked. */
export interface Routed {
  route: Route;
  project: string;
  params: unknown;
  query: unknown;
}

/** Finds the route and checks project, path and query. Throws `not_found` or `invalid`. */
export function routeRequest(request: IncomingMessage): Routed {
  const target = request.url ?? "/";
  const method = request.method ?? "GET";
  if (target.length > targetLimit)
    throw new GantryError("invalid", `the request's target is longer than ${targetLimit} bytes`);
  const url = new URL(target, "http://gantry");
  const found = findRoute(method, url.pathname);
  if ("methods" in found) {
    const where = `${method} ${url.pathname.slice(0, 200)}`;
    throw found.methods.length > 0
      ? new GantryError("invalid", `${where}: this path takes ${found.methods.join(", ")}`)
      : new GantryError("not_found", `${where} is not in the API; see GET /v1/openapi.json`);
  }
  const { route } = found;
  const header = request.headers["x-gantry-project"];
  const project = url.searchParams.get("project") ?? (Array.isArray(header) ? header[0] : header);
  return {
    route,
    project: checkName("project", project ?? defaultProject),
    params: route.params ? check(route.params, found.params, "the path") : undefined,
    query: readQuery(route.query, url.searchParams),
  };
}

/** The request's bytes; who stops reading them leaves the connection open, so that an answer can still be sent. */
export const unread = (request: IncomingMessage): AsyncIterable<Buffer> =>
  request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;

/** Reads and checks a JSON body of at most 1 MiB. Throws `invalid`, or `deadline` for a client that stalls. */
export async function readBody(request: IncomingMessage, route: Route): Promise<unknown> {
  if (route.upload) return undefined;
  const parts: Buffer[] = [];
  let size = 0;
  let stalled = false;
  const timer = setTimeout(() => {
    stalled = true;
    request.destroy();
  }, bodyTimeout);
  const tooLarge = () => new GantryError("invalid", `the body is larger than ${bodyLimit} bytes`);
  try {
    if (Number(request.headers["content-length"] ?? 0) > bodyLimit) throw tooLarge();
    for await (const part of unread(request)) {
      size += part.length;
      if (size > bodyLimit) throw tooLarge();
      parts.push(part);
    }
  } catch (error) {
    if (stalled) throw new GantryError("deadline", `the body did not arrive within ${bodyTimeout / 1000} s`);
    throw error;
  } finally {
    clearTimeout(timer);
  }
  const text = Buffer.concat(parts).toString("utf8");
  if (!route.body) {
    if (text.trim() !== "" && text.trim() !== "{}")
      throw new GantryError("invalid", `${route.method} ${route.path} takes no body`);
    return undefined;
  }
  return check(route.body, text.trim() === "" ? {} : parseJson(text, "the body"), "the body");
}
