/** The closed set of error codes; every adapter maps them through one table of its own. */
export const errorCodes = [
  "invalid",
  "not_found",
  "exists",
  "conflict",
  "denied",
  "exhausted",
  "unavailable",
  "unsupported",
  "canceled",
  "deadline",
  "corrupt",
  "internal",
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/**
 * The only error that crosses a room's door.
 * The message is one line: what was wrong, with which value, and what to do.
 */
export class GantryError extends Error {
  readonly code: ErrorCode;
  /** Exit status a shell user expects when it differs from the code's own (126, 127). */
  readonly exitStatus?: number;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown; exitStatus?: number }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.name = "GantryError";
    this.code = code;
    if (options?.exitStatus !== undefined) this.exitStatus = options.exitStatus;
  }

  /** Wraps anything thrown: a GantryError stays as it is, all else becomes `internal`. */
  static from(thrown: unknown): GantryError {
    if (thrown instanceof GantryError) return thrown;
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new GantryError("internal", message, { cause: thrown });
  }
}
