import { GantryError } from "../model/errors.ts";
import type { EngineEvent } from "../ports/engine.ts";

const kept = 4096;
/** A reader this far behind is cut off: the engine's memory is bounded. */
const backlog = 4096;

/** The newest events, and those who follow them. */
export class EventLog {
  readonly #ring: EngineEvent[] = [];
  readonly #readers = new Set<(event: EngineEvent) => void>();

  add(event: EngineEvent): void {
    this.#ring.push(event);
    if (this.#ring.length > kept) this.#ring.shift();
    for (const reader of this.#readers) reader(event);
  }

  get readers(): number {
    return this.#readers.size;
  }

  /**
   * Kept events from `since` on, then new ones, until `until` (milliseconds) or abort.
   * Without `since` only new ones. Throws `exhausted` to a reader that lags too far behind.
   */
  async *follow(
    options: { since?: number; until?: number },
    accept: (event: EngineEvent) => boolean,
    signal: AbortSignal,
  ): AsyncGenerator<EngineEvent> {
    const { since, until } = options;
    const queue =
      since === undefined ? [] : this.#ring.filter((event) => event.time >= since && accept(event));
    let lost = false;
    let wake = () => {};
    const reader = (event: EngineEvent) => {
      if (!accept(event)) return;
      if (queue.length >= backlog + kept) lost = true;
      else queue.push(event);
      wake();
    };
    const abort = () => wake();
    this.#readers.add(reader);
    signal.addEventListener("abort", abort, { once: true });
    try {
      while (!signal.aborted) {
        for (let event = queue.shift(); event; event = queue.shift()) {
          if (until !== undefined && event.time > until) return;
          yield event;
          if (signal.aborted) return;
        }
        if (lost)
          throw new GantryError(
            "exhausted",
            `this reader of events fell more than ${backlog} behind; ask again with since`,
          );
        const left = until === undefined ? undefined : until - Date.now();
        if (left !== undefined && left <= 0) return;
        await new Promise<void>((resolve) => {
          const timer = left === undefined ? undefined : setTimeout(resolve, Math.min(left, 0x7fffffff));
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    } finally {
      this.#readers.delete(reader);
      signal.removeEventListener("abort", abort);
    }
  }
}
