import Type from "typebox";
import { readFilters } from "../filters.ts";
import { route } from "../route.ts";
import {
  closed,
  EventSchema,
  FindingSchema,
  InfoSchema,
  NewVolume,
  Reference,
  Text,
  VolumeInUse,
  VolumeSchema,
} from "../schemas.ts";

const VolumeName = Type.Object({ name: Reference }, closed);
const Flag = Type.Optional(Type.Boolean());

export const systemRoutes = [
  route({
    method: "GET",
    path: "/v1/ping",
    summary: "Answers when the engine serves",
    answer: "json",
    response: Type.Object({ ok: Type.Boolean(), pid: Type.Integer({ description: "The engine's process" }) }),
    handler: async () => ({ ok: true, pid: process.pid }),
  }),
  route({
    method: "GET",
    path: "/v1/info",
    summary: "The engine, the host and its walls",
    answer: "json",
    response: InfoSchema,
    handler: ({ engine }) => engine.info(),
  }),
  route({
    method: "GET",
    path: "/v1/doctor",
    summary: "What is wrong on this host, and what to do about it",
    answer: "json",
    response: Type.Array(FindingSchema),
    handler: ({ engine }) => engine.doctor(),
  }),
  route({
    method: "GET",
    path: "/v1/events",
    summary: "What happens; filters: type, event, container, image, label",
    query: Type.Object(
      {
        since: Type.Optional(Type.Number()),
        until: Type.Optional(Type.Number()),
        filters: Type.Optional(Text),
      },
      closed,
    ),
    answer: "lines",
    response: EventSchema,
    handler: async ({ engine, project, query, signal }) =>
      engine.events(
        project,
        { since: query.since, until: query.until, filters: readFilters(query.filters) },
        signal,
      ),
  }),
  route({
    method: "GET",
    path: "/v1/volumes",
    summary: "List volumes",
    answer: "json",
    response: Type.Array(VolumeInUse),
    handler: ({ engine, project }) => engine.listVolumes(project),
  }),
  route({
    method: "POST",
    path: "/v1/volumes",
    summary: "Create a volume; anonymous without a name",
    body: NewVolume,
    answer: "json",
    status: 201,
    response: VolumeSchema,
    handler: ({ engine, project, body }) => engine.createVolume(project, body.name, body.labels ?? {}),
  }),
  route({
    method: "POST",
    path: "/v1/volumes/prune",
    summary: "Remove unused anonymous volumes, with `all` the named ones too",
    query: Type.Object({ all: Flag }, closed),
    answer: "json",
    response: Type.Object({ removed: Type.Array(Type.String()), bytes: Type.Number() }),
    handler: ({ engine, project, query }) => engine.pruneVolumes(project, query.all ?? false),
  }),
  route({
    method: "GET",
    path: "/v1/volumes/{name}",
    summary: "Inspect a volume",
    params: VolumeName,
    answer: "json",
    response: VolumeInUse,
    handler: ({ engine, project, params }) => engine.inspectVolume(project, params.name),
  }),
  route({
    method: "DELETE",
    path: "/v1/volumes/{name}",
    summary: "Remove a volume that nothing uses",
    params: VolumeName,
    query: Type.Object({ force: Flag }, closed),
    answer: "json",
    handler: ({ engine, project, params, query }) =>
      engine.removeVolume(project, params.name, query.force ?? false),
  }),
];
