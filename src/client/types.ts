import type { InstanceConfig } from "../model/instance.ts";
import type { Image } from "../ports/image.ts";

/** A configuration with what may be left out left out. */
export type NewConfig = Partial<InstanceConfig> & Pick<InstanceConfig, "image">;

/** What `run` takes: a configuration, with the environment as an object if that is handier. */
export type RunOptions = Omit<NewConfig, "env"> & {
  name?: string;
  env?: readonly string[] | Readonly<Record<string, string>>;
};

export interface ExecOptions {
  env?: readonly string[] | Readonly<Record<string, string>>;
  workdir?: string;
  user?: string;
  tty?: boolean;
  /** Sent to the process's standard input, which then ends. */
  input?: string | Uint8Array;
}

/** What a finished process left. */
export interface ExecResult {
  exitCode: number;
  oomKilled: boolean;
  /** As text; `stdoutBytes` has it byte for byte. */
  stdout: string;
  stderr: string;
  stdoutBytes: Buffer;
  stderrBytes: Buffer;
}

export interface LogRecord {
  stream: "stdout" | "stderr";
  /** RFC 3339 with nanoseconds. */
  timestamp: string;
  data: Buffer;
}

export interface LogQuery {
  follow?: boolean;
  tail?: number;
  /** Milliseconds since the epoch. */
  since?: number;
  until?: number;
  stdout?: boolean;
  stderr?: boolean;
}

export type WorkProgress = (event: { step: string; done?: number; total?: number }) => void;

export type ImageView = Pick<Image, "name" | "digest" | "manifest" | "config">;

export interface WaitResult {
  exitCode: number;
  oomKilled: boolean;
  error?: string;
}

/** `KEY=value` strings from either form. */
export const envList = (env: ExecOptions["env"]): string[] =>
  Array.isArray(env) ? [...env] : Object.entries(env ?? {}).map(([key, value]) => `${key}=${value}`);
