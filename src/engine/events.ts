import { GantryError } from "../model/errors.ts";
import type { EngineEvent } from "../ports/engine.ts";
import type { Context } from "./context.ts";
import { labelMatches } from "./list.ts";

/** Docker's filters of `events`; values of one filter are alternatives, but for labels, which all must hold. */
const tests: Record<string, (event: EngineEvent, value: string) => boolean> = {
  type: (event, value) => event.type === value,
  event: (event, value) => event.action === value || event.action.startsWith(`${value}:`),
  container: (event, value) => event.type === "container" && isOrNamed(event, value),
  image: (event, value) =>
    (event.type === "image" && isOrNamed(event, value)) || event.attributes.image === value,
  volume: (event, value) => event.type === "volume" && isOrNamed(event, value),
  label: (event, value) => labelMatches(event.attributes, value),
};

const isOrNamed = (event: EngineEvent, value: string): boolean =>
  event.attributes.name === value || event.id === value || (value.length >= 4 && event.id.startsWith(value));

/** See ports/engine.ts. */
export function events(
  context: Context,
  project: string,
  options: { since?: number; until?: number; filters: Record<string, string[]> },
  signal: AbortSignal,
): AsyncIterable<EngineEvent> {
  const filters = Object.entries(options.filters).filter(([, values]) => values.length > 0);
  for (const [name] of filters)
    if (!tests[name])
      throw new GantryError(
        "invalid",
        `no such filter: ${JSON.stringify(name.slice(0, 64))}; there are ${Object.keys(tests).join(", ")}`,
      );
  const accept = (event: EngineEvent) =>
    event.project === project &&
    filters.every(([name, values]) => {
      const test = tests[name] as (event: EngineEvent, value: string) => boolean;
      return name === "label" ? values.every((v) => test(event, v)) : values.some((v) => test(event, v));
    });
  return context.events.follow(options, accept, signal);
}
