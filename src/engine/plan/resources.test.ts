import { expect, test } from "bun:test";
import { limitResources } from "./resources.ts";

const facts = { swapLimit: true, cpus: 4 };

test("limits in the runtime's terms", () => {
  expect(limitResources({ memory: 64 << 20, cpus: 1.5, pids: 100 }, facts)).toEqual({
    memory: { limit: 64 << 20, swap: 128 << 20 },
    cpu: { quota: 150_000, period: 100_000 },
    pids: { limit: 100 },
  });
  expect(limitResources({}, facts)).toEqual({});
});

test("no swap limit where swap is not counted", () => {
  expect(limitResources({ memory: 64 << 20 }, { ...facts, swapLimit: false })).toEqual({
    memory: { limit: 64 << 20 },
  });
});

test("more CPUs than there are, and next to none, are refused", () => {
  expect(() => limitResources({ cpus: 4.5 }, facts)).toThrow("0.01 to 4");
  expect(() => limitResources({ cpus: 0.001 }, facts)).toThrow("out of range");
});
