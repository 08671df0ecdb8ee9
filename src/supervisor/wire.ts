import Type from "typebox";
import Value from "typebox/value";
import { type ErrorCode, errorCodes, GantryError } from "../model/errors.ts";

const natural = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
/** Milliseconds since the epoch, as far as a Date goes. */
const moment = Type.Number({ minimum: -8.64e15, maximum: 8.64e15 });
/** What a guest may make us carry about. */
const Name = Type.String({ maxLength: 4096 });
const Word = Type.String({ maxLength: 128 });
const messageLimit = 4096;

export const ExitRecord = Type.Object({
  workload: Word,
  generation: natural,
  exitCode: Type.Integer({ minimum: 0, maximum: 255 }),
  oomKilled: Type.Boolean(),
  finishedAt: moment,
  reason: Type.Optional(Name),
});

export const State = Type.Object({
  version: Word,
  isolation: Type.Union([Type.Literal("container"), Type.Literal("vm")]),
  pid: Type.Integer({ minimum: 2 }),
  workloads: Type.Array(
    Type.Object({
      id: Word,
      generation: natural,
      state: Type.Union([
        Type.Literal("created"),
        Type.Literal("running"),
        Type.Literal("paused"),
        Type.Literal("exited"),
      ]),
      pid: Type.Optional(natural),
      exit: Type.Optional(ExitRecord),
      logDropped: natural,
    }),
  ),
  accelerator: Type.Optional(Word),
  bootMs: Type.Optional(Type.Number()),
});

export const Stats = Type.Object({
  cpuNs: natural,
  memory: natural,
  memoryLimit: Type.Optional(natural),
  pids: natural,
  pidsLimit: Type.Optional(natural),
  blockRead: natural,
  blockWrite: natural,
  netRx: natural,
  netTx: natural,
});

export const PathStat = Type.Object({
  name: Name,
  size: natural,
  mode: Type.Integer({ minimum: 0, maximum: 0xffff_ffff }),
  mtime: moment,
  linkTarget: Name,
});

export const Started = Type.Object({ pid: natural });
export const Archive = Type.Object({ stat: PathStat });
export const Nothing = Type.Object({});

export const Event = Type.Union([
  Type.Intersect([Type.Object({ event: Type.Literal("exit") }), ExitRecord]),
  Type.Object({ event: Type.Literal("oom"), workload: Word }),
  Type.Object({ event: Type.Literal("closing"), reason: Name }),
]);

/** Checks what a supervisor sent; part of it may come from a guest. Throws `corrupt`. */
export function parseAs<S extends Type.TSchema>(schema: S, value: unknown, what: string): Type.Static<S> {
  if (!Value.Check(schema, value))
    throw new GantryError("corrupt", `the supervisor's ${what} is not what the protocol says`);
  return value as Type.Static<S>;
}

/** The error of a reply or a readiness line; undefined when it holds none. */
export function errorOf(value: unknown): GantryError | undefined {
  if (typeof value !== "object" || value === null || !("error" in value)) return undefined;
  return toError((value as { error: unknown }).error);
}

/** `{code,message,exitStatus?}` as an error, its message short and on one line; anything else becomes `internal`. */
export function toError(value: unknown): GantryError {
  const given = (value ?? {}) as { code?: unknown; message?: unknown; exitStatus?: unknown };
  const code = errorCodes.includes(given.code as ErrorCode) ? (given.code as ErrorCode) : "internal";
  const message =
    typeof given.message === "string" ? oneLine(given.message) : "the supervisor failed without a message";
  const status = given.exitStatus;
  const exitStatus =
    Number.isInteger(status) && (status as number) > 0 && (status as number) < 256
      ? (status as number)
      : undefined;
  return new GantryError(code, message, exitStatus === undefined ? undefined : { exitStatus });
}

const oneLine = (text: string): string =>
  text
    .slice(0, messageLimit)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: a guest's message must not carry them on
    .replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]+/g, " ")
    .trim();

export function parseJson(text: string | Uint8Array): unknown {
  try {
    return JSON.parse(typeof text === "string" ? text : Buffer.from(text).toString("utf8"));
  } catch {
    return undefined;
  }
}
