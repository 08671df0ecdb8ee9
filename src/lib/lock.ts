/**
 * Runs functions one after another for each key, and functions of different keys side by side.
 * A key costs memory only while something waits or runs under it.
 */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Runs `fn` when all earlier ones under `key` have ended; passes its result or error on. */
  async run<T>(key: string, fn: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    const mine = before.then(fn, fn);
    const tail = mine.catch(() => {});
    this.#tails.set(key, tail);
    try {
      return await mine;
    } finally {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    }
  }

  /** Resolves when all that runs or waits now has ended. */
  async idle(): Promise<void> {
    await Promise.all(this.#tails.values());
  }
}
