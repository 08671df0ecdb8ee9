import type { Isolation } from "../../src/model/isolation.ts";
import type { Result, RunOptions, TestEngine } from "../lib/engine.ts";

/** What a case gets: the engine, the wall, and short ways to type commands. */
export interface Bench {
  engine: TestEngine;
  wall: Isolation;
  /** `gantry ARGS`, to its end. */
  g(...args: string[]): Promise<Result>;
  gWith(options: RunOptions, ...args: string[]): Promise<Result>;
  /** `gantry ARGS` that must succeed; its trimmed output. */
  ok(...args: string[]): Promise<string>;
  /** `gantry run --rm --isolation WALL ARGS`. */
  run(...args: string[]): Promise<Result>;
  /** `gantry run -d --isolation WALL ARGS` that must succeed; the id. */
  up(...args: string[]): Promise<string>;
  /** Flags that choose the wall. */
  flags: string[];
  /** A folder of the host that goes after the case. */
  folder: string;
}

/** One row of the table: the same expectations behind both walls. */
export interface Case {
  name: string;
  run(bench: Bench): Promise<void>;
}

export const image = "busybox";
/** A name that no other case uses. */
let count = 0;
export const fresh = (prefix = "c"): string => `${prefix}${process.pid}-${++count}`;
