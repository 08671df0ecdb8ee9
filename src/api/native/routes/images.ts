import Type from "typebox";
import type { Image } from "../../../ports/image.ts";
import { route } from "../route.ts";
import {
  closed,
  ImageSchema,
  ImageSummarySchema,
  Reference,
  RemovedImage,
  Text,
  Texts,
  workLines as workSchema,
} from "../schemas.ts";
import { workLines } from "../work.ts";

const ImageName = Type.Object({ reference: Reference }, closed);
const plain = ({ name, digest, manifest, config }: Image): Image => ({ name, digest, manifest, config });

export const imageRoutes = [
  route({
    method: "GET",
    path: "/v1/images",
    summary: "List images",
    answer: "json",
    response: Type.Array(ImageSummarySchema),
    handler: ({ engine, project }) => engine.images.list(project),
  }),
  route({
    method: "GET",
    path: "/v1/images/{reference}",
    summary: "Inspect an image",
    params: ImageName,
    answer: "json",
    response: ImageSchema,
    handler: async ({ engine, project, params }) =>
      plain(await engine.images.resolve(project, params.reference)),
  }),
  route({
    method: "DELETE",
    path: "/v1/images/{reference}",
    summary: "Remove a name, and the content with the last one",
    params: ImageName,
    query: Type.Object({ force: Type.Optional(Type.Boolean()) }, closed),
    answer: "json",
    response: RemovedImage,
    handler: ({ engine, project, params, query }) =>
      engine.removeImage(project, params.reference, query.force ?? false),
  }),
  route({
    method: "POST",
    path: "/v1/images/{reference}/tag",
    summary: "Give it a further name",
    params: ImageName,
    body: Type.Object({ name: Text }, closed),
    answer: "json",
    handler: ({ engine, project, params, body }) => engine.images.tag(project, params.reference, body.name),
  }),
  route({
    method: "POST",
    path: "/v1/image-archives",
    summary: "Load an oci-archive or docker-archive (gzip or zstd around it too)",
    upload: "application/x-tar",
    answer: "lines",
    response: workSchema(Type.Array(ImageSchema)),
    handler: async ({ engine, project, upload }) =>
      workLines(async (progress) => (await engine.images.load(project, upload, progress)).map(plain)),
  }),
  route({
    method: "GET",
    path: "/v1/image-archives",
    summary: "Save images as one archive",
    query: Type.Object(
      {
        reference: Type.Array(Reference, { minItems: 1, maxItems: 256 }),
        format: Type.Optional(Type.Union([Type.Literal("oci-archive"), Type.Literal("docker-archive")])),
      },
      closed,
    ),
    answer: "bytes",
    handler: async ({ engine, project, query }) => ({
      type: "application/x-tar",
      body: await engine.images.save(project, query.reference, query.format ?? "oci-archive"),
    }),
  }),
  route({
    method: "POST",
    path: "/v1/image-imports",
    summary: "Make an image from a root file system's tar (plain, gzip or zstd)",
    query: Type.Object(
      { name: Type.Optional(Text), change: Type.Optional(Texts), message: Type.Optional(Text) },
      closed,
    ),
    upload: "application/x-tar",
    answer: "lines",
    response: workSchema(ImageSchema),
    handler: async ({ engine, project, query, upload }) =>
      workLines(async (progress) =>
        plain(
          await engine.images.import(
            project,
            upload,
            { name: query.name, changes: query.change, message: query.message },
            progress,
          ),
        ),
      ),
  }),
  route({
    method: "POST",
    path: "/v1/image-bootstraps",
    summary: "Make an image from the distribution's packages",
    body: Type.Object(
      { distribution: Text, include: Type.Optional(Texts), name: Type.Optional(Text) },
      closed,
    ),
    answer: "lines",
    response: workSchema(ImageSchema),
    handler: async ({ engine, project, body }) =>
      workLines(async (progress) =>
        plain(await engine.images.bootstrap(project, { ...body, include: body.include ?? [] }, progress)),
      ),
  }),
];
