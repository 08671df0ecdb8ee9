import Type from "typebox";
import type { LogLine } from "../../../ports/engine.ts";
import { route } from "../route.ts";
import {
  closed,
  ExecConfigSchema,
  ExecViewSchema,
  InstanceName,
  LogLineSchema,
  PathStatSchema,
  Reference,
  TerminalSize,
} from "../schemas.ts";

const Flag = Type.Optional(Type.Boolean());
const Time = Type.Optional(Type.Number({ description: "Milliseconds since the epoch" }));
const FilePath = Type.Object({ path: Type.String({ minLength: 1, maxLength: 4096 }) }, closed);
const ExecName = Type.Object({ exec: Reference }, closed);

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Log bytes as text, or as base64 where they are not UTF-8. */
async function* logLines(lines: AsyncIterable<LogLine>) {
  for await (const { stream, timestamp, data } of lines) {
    let content: { text: string } | { raw: string };
    try {
      content = { text: utf8.decode(data) };
    } catch {
      content = { raw: Buffer.from(data).toString("base64") };
    }
    yield { stream, timestamp, ...content };
  }
}

export const streamRoutes = [
  route({
    method: "GET",
    path: "/v1/instances/{reference}/logs",
    summary: "Its output, as recorded",
    params: InstanceName,
    query: Type.Object(
      {
        follow: Flag,
        tail: Type.Optional(Type.Integer({ minimum: 0 })),
        since: Time,
        until: Time,
        stdout: Flag,
        stderr: Flag,
      },
      closed,
    ),
    answer: "lines",
    response: LogLineSchema,
    handler: async ({ engine, project, params, query, signal }) => {
      await engine.inspect(project, params.reference);
      return logLines(
        engine.logs(
          project,
          params.reference,
          {
            follow: query.follow ?? false,
            tail: query.tail,
            since: query.since,
            until: query.until,
            stdout: query.stdout ?? true,
            stderr: query.stderr ?? true,
          },
          signal,
        ),
      );
    },
  }),
  route({
    method: "GET",
    path: "/v1/instances/{reference}/attach",
    summary: "Attach to the first process; before the start too, so that nothing is missed",
    params: InstanceName,
    query: Type.Object({ stdin: Flag, stdout: Flag, stderr: Flag }, closed),
    answer: "session",
    handler: ({ engine, project, params, query }) =>
      engine.attach(project, params.reference, {
        stdin: query.stdin ?? false,
        stdout: query.stdout ?? true,
        stderr: query.stderr ?? true,
      }),
  }),
  route({
    method: "POST",
    path: "/v1/instances/{reference}/execs",
    summary: "Prepare a process beside the first one",
    params: InstanceName,
    body: ExecConfigSchema,
    answer: "json",
    status: 201,
    response: ExecViewSchema,
    handler: ({ engine, project, params, body }) =>
      engine.createExec(project, params.reference, {
        env: [],
        tty: false,
        openStdin: false,
        ...body,
        privileged: false,
      }),
  }),
  route({
    method: "GET",
    path: "/v1/execs/{exec}",
    summary: "Inspect such a process",
    params: ExecName,
    answer: "json",
    response: ExecViewSchema,
    handler: ({ engine, project, params }) => engine.inspectExec(project, params.exec),
  }),
  route({
    method: "GET",
    path: "/v1/execs/{exec}/start",
    summary: "Start it with its streams",
    params: ExecName,
    answer: "session",
    handler: ({ engine, project, params }) => engine.startExec(project, params.exec),
  }),
  route({
    method: "POST",
    path: "/v1/execs/{exec}/resize",
    summary: "Set the size of its terminal",
    params: ExecName,
    body: TerminalSize,
    answer: "json",
    handler: ({ engine, project, params, body }) =>
      engine.resizeExec(project, params.exec, body.rows, body.columns),
  }),
  route({
    method: "GET",
    path: "/v1/instances/{reference}/stat",
    summary: "Facts of a file in its root file system; symbolic links are not followed",
    params: InstanceName,
    query: FilePath,
    answer: "json",
    response: PathStatSchema,
    handler: ({ engine, project, params, query }) => engine.statPath(project, params.reference, query.path),
  }),
  route({
    method: "GET",
    path: "/v1/instances/{reference}/archive",
    summary: "A tar stream of a file or folder; its facts are in the header X-Gantry-Path-Stat (base64 JSON)",
    params: InstanceName,
    query: FilePath,
    answer: "bytes",
    handler: async ({ engine, project, params, query }) => {
      const { stat, tar } = await engine.readArchive(project, params.reference, query.path);
      return {
        type: "application/x-tar",
        headers: { "x-gantry-path-stat": Buffer.from(JSON.stringify(stat)).toString("base64") },
        body: tar,
      };
    },
  }),
  route({
    method: "PUT",
    path: "/v1/instances/{reference}/archive",
    summary: "Unpack a tar stream into a folder",
    params: InstanceName,
    query: FilePath,
    upload: "application/x-tar",
    answer: "json",
    handler: ({ engine, project, params, query, upload }) =>
      engine.writeArchive(project, params.reference, query.path, upload),
  }),
];
