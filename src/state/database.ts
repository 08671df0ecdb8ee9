import { chmodSync, closeSync, openSync } from "node:fs";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { GantryError } from "../model/errors.ts";

/** The little of SQLite that the state needs, so that another driver could take its place. */
export interface Database {
  run(sql: string, ...values: SQLInputValue[]): void;
  /** First column of the first row, or undefined. */
  value(sql: string, ...values: SQLInputValue[]): unknown;
  /** First column of every row. */
  column(sql: string, ...values: SQLInputValue[]): unknown[];
  /** All or nothing; an inner call joins the outer transaction. */
  transaction<T>(fn: () => T): T;
  close(): void;
}

/**
 * Opens or makes the database file with mode 0600: WAL, and `synchronous=FULL`, so that a write is on disk when it returns.
 * Throws `corrupt` when the file is no database, `exhausted` on a full disk.
 */
export function openDatabase(path: string): Database {
  closeSync(openSync(path, "a", 0o600));
  chmodSync(path, 0o600);
  const db = guard(path, () => new DatabaseSync(path));
  guard(path, () => {
    db.exec("PRAGMA journal_mode=WAL");
    db.exec("PRAGMA synchronous=FULL");
    db.exec("PRAGMA foreign_keys=ON");
    db.exec("PRAGMA busy_timeout=5000");
  });
  const prepared = new Map<string, StatementSync>();
  const statement = (sql: string): StatementSync => {
    const known = prepared.get(sql);
    if (known) return known;
    const fresh = db.prepare(sql);
    prepared.set(sql, fresh);
    return fresh;
  };
  const first = (row: unknown): unknown => (row ? Object.values(row as object)[0] : undefined);
  let depth = 0;
  return {
    run: (sql, ...values) => void guard(path, () => statement(sql).run(...values)),
    value: (sql, ...values) => first(guard(path, () => statement(sql).get(...values))),
    column: (sql, ...values) => guard(path, () => statement(sql).all(...values)).map(first),
    transaction(fn) {
      if (depth > 0) return fn();
      guard(path, () => db.exec("BEGIN IMMEDIATE"));
      depth++;
      try {
        const result = fn();
        guard(path, () => db.exec("COMMIT"));
        return result;
      } catch (error) {
        db.exec("ROLLBACK");
        throw error;
      } finally {
        depth--;
      }
    },
    close: () => db.close(),
  };
}

function guard<T>(path: string, fn: () => T): T {
  try {
    return fn();
  } catch (error) {
    if (error instanceof GantryError) throw error;
    const text = error instanceof Error ? error.message : String(error);
    if (/not a database|malformed|disk image/i.test(text))
      throw new GantryError(
        "corrupt",
        `${path} is damaged (${text}); restore it from a backup or move it away`,
        {
          cause: error,
        },
      );
    if (/is full/i.test(text))
      throw new GantryError("exhausted", `no space left to write ${path}; free some and try again`, {
        cause: error,
      });
    throw new GantryError("internal", `${path}: ${text}`, { cause: error });
  }
}
