import { expect, test } from "bun:test";
import type { EngineEvent } from "../ports/engine.ts";
import { EventLog } from "./event-log.ts";

const event = (action: string, time = Date.now()): EngineEvent => ({
  time,
  type: "container",
  action,
  id: "x",
  project: "default",
  attributes: {},
});
const all = () => true;
const take = async (events: AsyncIterable<EngineEvent>, count: number): Promise<string[]> => {
  const seen: string[] = [];
  for await (const one of events) {
    seen.push(one.action);
    if (seen.length === count) break;
  }
  return seen;
};

test("gives kept events since a time, then new ones", async () => {
  const log = new EventLog();
  log.add(event("old", 1000));
  log.add(event("kept", 2000));
  const reading = take(log.follow({ since: 1500 }, all, new AbortController().signal), 2);
  await Promise.resolve();
  log.add(event("new"));
  expect(await reading).toEqual(["kept", "new"]);
  expect(log.readers).toBe(0);
});

test("ends at until, and on abort, and lets go of the reader", async () => {
  const log = new EventLog();
  log.add(event("a", 1000));
  expect(
    await take(log.follow({ since: 0, until: Date.now() + 20 }, all, new AbortController().signal), 9),
  ).toEqual(["a"]);
  const stop = new AbortController();
  const reading = take(log.follow({}, all, stop.signal), 9);
  setTimeout(() => stop.abort(), 5);
  expect(await reading).toEqual([]);
  expect(log.readers).toBe(0);
});

test("keeps the newest 4,096", async () => {
  const log = new EventLog();
  for (let n = 0; n < 5000; n++) log.add(event(String(n), n));
  const seen = await take(
    log.follow({ since: 0, until: Date.now() }, all, new AbortController().signal),
    1e9,
  );
  expect(seen.length).toBe(4096);
  expect(seen[0]).toBe("904");
});

test("cuts off a reader that does not read", async () => {
  const log = new EventLog();
  const reader = log.follow({ since: 0 }, all, new AbortController().signal)[Symbol.asyncIterator]();
  const first = reader.next();
  log.add(event("first"));
  await first;
  for (let n = 0; n < 20_000; n++) log.add(event(String(n)));
  const drain = async () => {
    for (let got = await reader.next(); !got.done; got = await reader.next());
  };
  expect(drain()).rejects.toThrow("behind");
});
