import Type from "typebox";
import Value from "typebox/value";
import { type ErrorCode, errorCodes, GantryError } from "../model/errors.ts";

const natural = Type.Integer({ minimum: 0 });

export const ExitRecord = Type.Object({
  workload: Type.String(),
  generation: natural,
  exitCode: Type.Integer({ minimum: 0, maximum: 255 }),
  oomKilled: Type.Boolean(),
  finishedAt: Type.Number(),
});

export const State = Type.Object({
  version: Type.String(),
  isolation: Type.Union([Type.Literal("container"), Type.Literal("vm")]),
  pid: Type.Integer({ minimum: 2 }),
  workloads: Type.Array(
    Type.Object({
      id: Type.String(),
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
  accelerator: Type.Optional(Type.String()),
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
  name: Type.String(),
  size: natural,
  mode: natural,
  mtime: Type.Number(),
  linkTarget: Type.String(),
});

export const Started = Type.Object({ pid: natural });
export const Archive = Type.Object({ stat: PathStat });
export const Nothing = Type.Object({});

export const Event = Type.Union([
  Type.Intersect([Type.Object({ event: Type.Literal("exit") }), ExitRecord]),
  Type.Object({ event: Type.Literal("oom"), workload: Type.String() }),
  Type.Object({ event: Type.Literal("closing"), reason: Type.String() }),
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

/** `{code,message,exitStatus?}` as an error; anything else becomes `internal`. */
export function toError(value: unknown): GantryError {
  const given = (value ?? {}) as { code?: unknown; message?: unknown; exitStatus?: unknown };
  const code = errorCodes.includes(given.code as ErrorCode) ? (given.code as ErrorCode) : "internal";
  const message =
    typeof given.message === "string" ? given.message : "the supervisor failed without a message";
  const exitStatus = Number.isInteger(given.exitStatus) ? (given.exitStatus as number) : undefined;
  return new GantryError(code, message, exitStatus === undefined ? undefined : { exitStatus });
}

export function parseJson(text: string | Uint8Array): unknown {
  try {
    return JSON.parse(typeof text === "string" ? text : Buffer.from(text).toString("utf8"));
  } catch {
    return undefined;
  }
}
