/** Calls `check` every `interval` milliseconds, never twice at once, and keeps the last failure for `facts`. */
export class Watcher {
  readonly #check: () => Promise<void>;
  readonly #interval: number;
  #timer: ReturnType<typeof setInterval> | undefined;
  #running: Promise<void> | undefined;
  failure = "";

  constructor(check: () => Promise<void>, interval = 2000) {
    this.#check = check;
    this.#interval = interval;
  }

  start(): void {
    if (this.#timer) return;
    this.#timer = setInterval(() => {
      this.#running ??= this.#check()
        .then(
          () => {
            this.failure = "";
          },
          (error: Error) => {
            this.failure = error.message;
          },
        )
        .finally(() => {
          this.#running = undefined;
        });
    }, this.#interval);
    this.#timer.unref();
  }

  /** No check runs any more when it resolves. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.#running;
  }
}
