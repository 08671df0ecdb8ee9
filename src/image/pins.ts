/** Counted holds on digests of manifests and layers that collection must leave alone, for this process's time. */
export class Pins {
  readonly #counts = new Map<string, number>();

  /** Holds `digest` until the returned function is called (more calls do nothing). */
  hold(digest: string): () => void {
    this.#counts.set(digest, (this.#counts.get(digest) ?? 0) + 1);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const left = (this.#counts.get(digest) ?? 1) - 1;
      if (left > 0) this.#counts.set(digest, left);
      else this.#counts.delete(digest);
    };
  }

  has(digest: string): boolean {
    return this.#counts.has(digest);
  }

  all(): string[] {
    return [...this.#counts.keys()];
  }

  /** Holds all of `digests` while `use` runs. */
  async during<T>(digests: readonly string[], use: () => Promise<T>): Promise<T> {
    const releases = digests.map((digest) => this.hold(digest));
    try {
      return await use();
    } finally {
      for (const release of releases) release();
    }
  }
}
