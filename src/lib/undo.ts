type Closer = () => void | Promise<void>;

/**
 * A stack of closers for what was acquired so far.
 * `await using undo = new Undo()`; `undo.defer(...)` after each acquisition; `undo.release()` on success.
 * Closers run newest first, each exactly once, all of them even when one fails; the failures are
 * thrown together as an AggregateError so that the caller can mark its record `broken`.
 */
export class Undo implements AsyncDisposable {
  #closers: { what: string; close: Closer }[] = [];
  #last: { what: string; close: Closer }[] = [];

  /** Registers the closer of something just acquired. `what` names it in an error. */
  defer(what: string, close: Closer): void {
    this.#closers.push({ what, close });
  }

  /** Registers what ends with the stack whether released or not: a lease that is needed only while acquiring. */
  always(what: string, close: Closer): void {
    this.#last.push({ what, close });
  }

  /** The acquisition is kept: nothing will be undone. */
  release(): void {
    this.#closers = [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const failures: Error[] = [];
    this.#closers = [...this.#last.splice(0), ...this.#closers];
    for (let closer = this.#closers.pop(); closer; closer = this.#closers.pop()) {
      try {
        await closer.close();
      } catch (error) {
        failures.push(
          new Error(`undo of ${closer.what} failed: ${(error as Error).message}`, { cause: error }),
        );
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, failures.map((f) => f.message).join("; "));
  }
}
