interface Waiting<T> {
  item: T;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/**
 * Group commit: what is asked for while one run is under way is done together by the next one,
 * so that fifty instances starting at once cost a few processes instead of fifty.
 * When a run of several fails, each is run alone, so that one bad item fails by itself.
 */
export class Batcher<T> {
  readonly #run: (items: T[]) => Promise<void>;
  #waiting: Waiting<T>[] = [];
  #running = false;

  constructor(run: (items: T[]) => Promise<void>) {
    this.#run = run;
  }

  /** Resolves when a run that held `item` is done. */
  add(item: T): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (!this.#running) void this.#drain();
    });
  }

  async #drain(): Promise<void> {
    this.#running = true;
    while (this.#waiting.length > 0) {
      const group = this.#waiting.splice(0, 256);
      try {
        await this.#run(group.map((one) => one.item));
        for (const one of group) one.resolve();
      } catch (error) {
        if (group.length === 1) group[0]!.reject(error);
        else for (const one of group) await this.#run([one.item]).then(one.resolve, one.reject);
      }
    }
    this.#running = false;
  }
}
