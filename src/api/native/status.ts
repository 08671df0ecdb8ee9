import type { ErrorCode } from "../../model/errors.ts";
import { GantryError } from "../../model/errors.ts";

/** The one table from error codes to HTTP statuses. */
export const statusOf: Readonly<Record<ErrorCode, number>> = {
  invalid: 400,
  denied: 403,
  not_found: 404,
  exists: 409,
  conflict: 409,
  corrupt: 422,
  canceled: 499,
  internal: 500,
  unsupported: 501,
  unavailable: 503,
  deadline: 504,
  exhausted: 507,
};

/** The body of every failed request, and the last line of a stream that fails midway. */
export interface ErrorBody {
  error: { code: ErrorCode; message: string; exitStatus?: number };
}

/** Anything thrown as it goes over the wire; the message is cut at 4 KiB and kept on one line. */
export function errorBody(thrown: unknown): { status: number; body: ErrorBody } {
  const error = GantryError.from(thrown);
  const message = error.message.replace(/\s*\n\s*/g, " / ").slice(0, 4096);
  return {
    status: statusOf[error.code],
    body: {
      error: {
        code: error.code,
        message,
        ...(error.exitStatus === undefined ? {} : { exitStatus: error.exitStatus }),
      },
    },
  };
}
