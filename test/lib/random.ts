/** Reproducible chance: the same seed gives the same sequence (mulberry32). */
export class Chance {
  #state: number;

  constructor(readonly seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 up to, but without, 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from 0 up to, but without, `limit`. */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }
}

/** From GANTRY_SEED, to repeat a run; else 1, and in a full run (`scripts/test --all`) another one each time. */
export const seedOf = (): number =>
  Number(
    process.env.GANTRY_SEED ??
      (process.env.GANTRY_TEST_MODE === "all" ? Math.floor(Math.random() * 2 ** 31) : 1),
  );
