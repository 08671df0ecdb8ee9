import { expect, test } from "bun:test";
import type { InstanceRecord, RestartPolicy } from "../model/instance.ts";
import { testConfig } from "./plan/plan.fixture.ts";
import { nextDelay, wantsRestart } from "./restart-policy.ts";

const record = (
  name: RestartPolicy["name"],
  more: Partial<InstanceRecord> = {},
  maxRetries = 0,
): InstanceRecord => ({
  id: "x",
  project: "default",
  name: "x",
  config: testConfig({ restart: { name, maxRetries } }),
  imageDigest: "",
  state: "running",
  sandboxId: "x",
  createdAt: 0,
  oomKilled: false,
  generation: 1,
  restartCount: 0,
  stoppedByUser: false,
  volumes: [],
  ...more,
});

test("each policy wants what Docker's does", () => {
  expect(wantsRestart(record("no"), 1)).toBe(false);
  expect(wantsRestart(record("always"), 0)).toBe(true);
  expect(wantsRestart(record("unless-stopped"), 0)).toBe(true);
  expect(wantsRestart(record("on-failure"), 0)).toBe(false);
  expect(wantsRestart(record("on-failure"), 3)).toBe(true);
  expect(wantsRestart(record("on-failure", { restartCount: 2 }, 3), 1)).toBe(true);
  expect(wantsRestart(record("on-failure", { restartCount: 3 }, 3), 1)).toBe(false);
  for (const name of ["always", "unless-stopped", "on-failure"] as const)
    expect(wantsRestart(record(name, { stoppedByUser: true }), 1)).toBe(false);
});

test("the pause doubles up to a minute, and begins anew after ten seconds of running", () => {
  const delays = [nextDelay(undefined, 0)];
  while (delays.length < 12) delays.push(nextDelay(delays.at(-1), 50));
  expect(delays.slice(0, 4)).toEqual([100, 200, 400, 800]);
  expect(delays.at(-1)).toBe(60_000);
  expect(nextDelay(51_200, 10_000)).toBe(100);
});
