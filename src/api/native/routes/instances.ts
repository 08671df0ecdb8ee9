import Type from "typebox";
import { completeConfig } from "../defaults.ts";
import { readFilters } from "../filters.ts";
import { route } from "../route.ts";
import {
  closed,
  InstanceName,
  InstanceViewSchema,
  NewInstance,
  StatsSchema,
  TerminalSize,
  Text,
  WaitResult,
} from "../schemas.ts";

const Timeout = Type.Object(
  { timeout: Type.Optional(Type.Integer({ minimum: -1, description: "Seconds; -1 waits for ever" })) },
  closed,
);
const Flag = Type.Optional(Type.Boolean());

async function* every<T>(milliseconds: number, signal: AbortSignal, sample: () => Promise<T>) {
  while (!signal.aborted) {
    yield await sample();
    await new Promise<void>((resolve) => {
      const finish = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", finish);
        resolve();
      };
      const timer = setTimeout(finish, milliseconds);
      signal.addEventListener("abort", finish, { once: true });
    });
  }
}

export const instanceRoutes = [
  route({
    method: "GET",
    path: "/v1/instances",
    summary: "List instances; filters: name, id, label, status, ancestor, isolation, volume",
    query: Type.Object({ all: Flag, filters: Type.Optional(Text) }, closed),
    answer: "json",
    response: Type.Array(InstanceViewSchema),
    handler: ({ engine, project, query }) =>
      engine.list(project, { all: query.all ?? false, filters: readFilters(query.filters) }),
  }),
  route({
    method: "POST",
    path: "/v1/instances",
    summary: "Create an instance; what the configuration leaves out gets a default",
    body: NewInstance,
    answer: "json",
    status: 201,
    response: InstanceViewSchema,
    handler: ({ engine, project, body }) => engine.create(project, body.name, completeConfig(body.config)),
  }),
  route({
    method: "GET",
    path: "/v1/instances/{reference}",
    summary: "Inspect an instance",
    params: InstanceName,
    answer: "json",
    response: InstanceViewSchema,
    handler: ({ engine, project, params }) => engine.inspect(project, params.reference),
  }),
  route({
    method: "DELETE",
    path: "/v1/instances/{reference}",
    summary: "Remove an instance, with `volumes` its anonymous volumes too",
    params: InstanceName,
    query: Type.Object({ force: Flag, volumes: Flag }, closed),
    answer: "json",
    handler: ({ engine, project, params, query }) =>
      engine.remove(project, params.reference, {
        force: query.force ?? false,
        volumes: query.volumes ?? false,
      }),
  }),
  route({
    method: "POST",
    path: "/v1/instances/{reference}/start",
    summary: "Start; answers when the workload runs",
    params: InstanceName,
    answer: "json",
    response: InstanceViewSchema,
    handler: ({ engine, project, params }) => engine.start(project, params.reference),
  }),
  route({
    method: "POST",
    path: "/v1/instances/{reference}/stop",
    summary: "Send the stop signal, wait, then kill",
    params: InstanceName,
    query: Timeout,
    answer: "json",
    handler: ({ engine, project, params, query }) => engine.stop(project, params.reference, query.timeout),
  }),
  route({
    method: "POST",
    path: "/v1/instances/{reference}/restart",
    summary: "Stop, then start",
    params: InstanceName,
    query: Timeout,
    answer: "json",
    response: InstanceViewSchema,
    handler: ({ engine, project, params, query }) => engine.restart(project, params.reference, query.timeout),
  }),
  route({
    method: "POST",
    path: "/v1/instances/{reference}/kill",
    summary: "Send a signal to the first process",
    params: InstanceName,
    query: Type.Object({ signal: Type.Optional(Type.String({ maxLength: 32 })) }, closed),
    answer: "json",
    handler: ({ engine, project, params, query }) =>
      engine.kill(project, params.reference, query.signal ?? "KILL"),
  }),
  route({
    method: "POST",
    path: "/v1/instances/{reference}/pause",
    summary: "Freeze all its processes",
    params: InstanceName,
    answer: "json",
    handler: ({ engine, project, params }) => engine.pause(project, params.reference),
  }),
  route({
    method: "POST",
    path: "/v1/instances/{reference}/unpause",
    summary: "Thaw a paused instance",
    params: InstanceName,
    answer: "json",
    handler: ({ engine, project, params }) => engine.unpause(project, params.reference),
  }),
  route({
    method: "POST",
    path: "/v1/instances/{reference}/rename",
    summary: "Give it another name",
    params: InstanceName,
    body: Type.Object({ name: Text }, closed),
    answer: "json",
    handler: ({ engine, project, params, body }) => engine.rename(project, params.reference, body.name),
  }),
  route({
    method: "POST",
    path: "/v1/instances/{reference}/wait",
    summary: "Wait for its end; the head of the answer is sent as soon as the wait counts",
    params: InstanceName,
    query: Type.Object(
      {
        condition: Type.Optional(
          Type.Union([Type.Literal("not-running"), Type.Literal("next-exit"), Type.Literal("removed")]),
        ),
      },
      closed,
    ),
    answer: "json",
    late: true,
    response: WaitResult,
    handler: ({ engine, project, params, query }) =>
      engine.wait(project, params.reference, query.condition ?? "not-running"),
  }),
  route({
    method: "POST",
    path: "/v1/instances/{reference}/resize",
    summary: "Set the size of its terminal",
    params: InstanceName,
    body: TerminalSize,
    answer: "json",
    handler: ({ engine, project, params, body }) =>
      engine.resize(project, params.reference, body.rows, body.columns),
  }),
  route({
    method: "GET",
    path: "/v1/instances/{reference}/stats",
    summary: "Usage now",
    params: InstanceName,
    answer: "json",
    response: StatsSchema,
    handler: ({ engine, project, params }) => engine.stats(project, params.reference),
  }),
  route({
    method: "GET",
    path: "/v1/instances/{reference}/stats/stream",
    summary: "Usage each second",
    params: InstanceName,
    answer: "lines",
    response: StatsSchema,
    handler: async ({ engine, project, params, signal }) => {
      await engine.inspect(project, params.reference);
      return every(1000, signal, () => engine.stats(project, params.reference));
    },
  }),
];
