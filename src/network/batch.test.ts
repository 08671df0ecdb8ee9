import { expect, test } from "bun:test";
import { Batcher } from "./batch.ts";

test("what comes while a run is under way goes together", async () => {
  const runs: number[][] = [];
  const batcher = new Batcher<number>(async (items) => {
    runs.push(items);
    await Bun.sleep(5);
  });
  await Promise.all([1, 2, 3, 4].map((n) => batcher.add(n)));
  expect(runs).toEqual([[1], [2, 3, 4]]);
  await batcher.add(5);
  expect(runs.at(-1)).toEqual([5]);
});

test("one that fails does so alone", async () => {
  const done: number[] = [];
  const batcher = new Batcher<number>(async (items) => {
    await Bun.sleep(1);
    if (items.includes(3)) throw new Error("three");
    done.push(...items);
  });
  const results = await Promise.allSettled([1, 2, 3, 4].map((n) => batcher.add(n)));
  expect(results.map((result) => result.status)).toEqual(["fulfilled", "fulfilled", "rejected", "fulfilled"]);
  expect(done).toEqual([1, 2, 4]);
});
