import type { Route } from "./route.ts";
import { imageRoutes } from "./routes/images.ts";
import { instanceRoutes } from "./routes/instances.ts";
import { streamRoutes } from "./routes/streams.ts";
import { systemRoutes } from "./routes/system.ts";

/** Every route of the native API; dispatch, validation and the OpenAPI document come from it. */
export const routes: readonly Route[] = [...instanceRoutes, ...streamRoutes, ...imageRoutes, ...systemRoutes];

interface Compiled {
  route: Route;
  parts: string[];
}
const compiled: readonly Compiled[] = routes.map((route) => ({ route, parts: route.path.split("/") }));

function bind(parts: string[], path: string[]): Record<string, string> | undefined {
  if (parts.length !== path.length) return;
  const params: Record<string, string> = {};
  for (const [i, part] of parts.entries()) {
    const given = path[i]!;
    if (part.startsWith("{")) {
      try {
        params[part.slice(1, -1)] = decodeURIComponent(given);
      } catch {
        return;
      }
    } else if (part !== given) return;
  }
  return params;
}

/** The route for a method and path, with its path parameters; or the methods that the path does take. */
export function findRoute(
  method: string,
  pathname: string,
): { route: Route; params: Record<string, string> } | { methods: string[] } {
  const path = pathname.split("/");
  const methods = new Set<string>();
  let found: { route: Route; params: Record<string, string> } | undefined;
  for (const { route, parts } of compiled) {
    const params = bind(parts, path);
    if (!params) continue;
    methods.add(route.method);
    // An upgrade may come by GET or POST.
    const fits = route.method === method || (route.answer === "session" && method === "POST");
    if (fits && (!found || Object.keys(params).length < Object.keys(found.params).length))
      found = { route, params };
  }
  return found ?? { methods: [...methods] };
}
