import type { TSchema } from "typebox";
import type { Route } from "./route.ts";
import { ErrorSchema, named } from "./schemas.ts";
import { statusOf } from "./status.ts";

const names = new Map<object, string>(
  Object.entries(named).map(([name, schema]) => [schema as object, name]),
);

/** A schema as plain JSON, with named ones inside it as references. */
function plain(schema: unknown, top?: string): unknown {
  if (Array.isArray(schema)) return schema.map((item) => plain(item));
  if (typeof schema !== "object" || schema === null) return schema;
  const name = names.get(schema);
  if (name !== undefined && name !== top) return { $ref: `#/components/schemas/${name}` };
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, plain(value)]));
}

interface ObjectSchema {
  properties?: Record<string, TSchema>;
  required?: string[];
}

function parameters(route: Route): unknown[] {
  const of = (schema: ObjectSchema | undefined, where: "path" | "query") =>
    Object.entries(schema?.properties ?? {}).map(([name, property]) => ({
      name,
      in: where,
      required: where === "path" || (schema?.required ?? []).includes(name),
      schema: plain(property),
    }));
  return [
    ...of(route.params as ObjectSchema | undefined, "path"),
    ...of(route.query as ObjectSchema | undefined, "query"),
    { $ref: "#/components/parameters/project" },
  ];
}

function requestBody(route: Route): object {
  if (route.upload)
    return {
      requestBody: {
        required: true,
        content: { [route.upload]: { schema: { type: "string", format: "binary" } } },
      },
    };
  if (!route.body) return {};
  return { requestBody: { required: true, content: { "application/json": { schema: plain(route.body) } } } };
}

function success(route: Route): Record<string, unknown> {
  switch (route.answer) {
    case "session":
      return { "101": { description: "Upgraded to gantry-frames: frames of docs/PROTOCOL.md both ways" } };
    case "bytes":
      return {
        "200": {
          description: "A stream of bytes",
          content: { "application/x-tar": { schema: { type: "string", format: "binary" } } },
        },
      };
    case "lines":
      return {
        "200": {
          description: "One JSON value a line; a failure midway is a last line with `error`",
          content: { "application/x-ndjson": { schema: plain(route.response) } },
        },
      };
    case "json":
      if (!route.response) return { "204": { description: "Done" } };
      return {
        [route.status ?? 200]: {
          description: "Done",
          content: { "application/json": { schema: plain(route.response) } },
        },
      };
  }
}

/** The OpenAPI 3.1 document of the route table. */
export function openApi(routes: readonly Route[], version: string): object {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    paths[route.path] ??= {};
    paths[route.path]![route.method.toLowerCase()] = {
      summary: route.summary,
      operationId: `${route.method.toLowerCase()}${route.path
        .replace(/^\/v1/, "")
        .replace(/[{}]/g, "")
        .replace(/[/-](\w)/g, (_, c: string) => c.toUpperCase())}`,
      parameters: parameters(route),
      ...requestBody(route),
      responses: {
        ...success(route),
        default: {
          description: `An error; its code gives the status: ${Object.entries(statusOf)
            .map(([code, status]) => `${code} ${status}`)
            .join(", ")}`,
          content: { "application/json": { schema: plain(ErrorSchema) } },
        },
      },
    };
  }
  return {
    openapi: "3.1.0",
    info: { title: "Gantry", version, license: { name: "Apache-2.0", identifier: "Apache-2.0" } },
    paths,
    components: {
      parameters: {
        project: {
          name: "project",
          in: "query",
          description: "The project; the header X-Gantry-Project does the same",
          schema: { type: "string", default: "default" },
        },
      },
      schemas: Object.fromEntries(Object.entries(named).map(([name, schema]) => [name, plain(schema, name)])),
    },
  };
}
