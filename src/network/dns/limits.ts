/** What one instance, and all together, may ask of the name server at a time. */
const perSource = { pending: 64, connections: 16, rate: 1000, burst: 2000 };
const altogether = { pending: 1024, connections: 256 };

interface Use {
  pending: number;
  connections: number;
  /** Questions that may come at once; filled up at `rate` a second. */
  tokens: number;
  filled: number;
}

/** Counts by source address; a source costs memory only while it asks or has asked within seconds. */
export class Limits {
  readonly #uses = new Map<string, Use>();
  #pending = 0;
  #connections = 0;

  #use(source: string): Use {
    let use = this.#uses.get(source);
    if (!use) {
      if (this.#uses.size > 4096) this.#sweep();
      use = { pending: 0, connections: 0, tokens: perSource.burst, filled: performance.now() };
      this.#uses.set(source, use);
    }
    return use;
  }

  #sweep(): void {
    const old = performance.now() - 10_000;
    for (const [source, use] of this.#uses)
      if (use.pending === 0 && use.connections === 0 && use.filled < old) this.#uses.delete(source);
  }

  /** Whether this source may ask now. */
  question(source: string): boolean {
    const use = this.#use(source);
    const now = performance.now();
    use.tokens = Math.min(perSource.burst, use.tokens + ((now - use.filled) * perSource.rate) / 1000);
    use.filled = now;
    if (use.tokens < 1) return false;
    use.tokens -= 1;
    return true;
  }

  /** Whether one more question may wait for the resolvers; then `end` must follow. */
  begin(source: string): boolean {
    const use = this.#use(source);
    if (use.pending >= perSource.pending || this.#pending >= altogether.pending) return false;
    use.pending++;
    this.#pending++;
    return true;
  }
  end(source: string): void {
    this.#use(source).pending--;
    this.#pending--;
  }

  /** Whether one more TCP connection may be; then `disconnect` must follow. */
  connect(source: string): boolean {
    const use = this.#use(source);
    if (use.connections >= perSource.connections || this.#connections >= altogether.connections) return false;
    use.connections++;
    this.#connections++;
    return true;
  }
  disconnect(source: string): void {
    this.#use(source).connections--;
    this.#connections--;
  }
}
