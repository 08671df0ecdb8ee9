import { afterAll, beforeAll, expect, test } from "bun:test";
import { Api, GantryError } from "../../src/client/index.ts";
import type { InstanceView } from "../../src/ports/engine.ts";
import { eventually, TestEngine } from "../lib/engine.ts";
import { type Snapshot, settle, snapshot } from "../lib/oracle.ts";
import { Chance, seedOf } from "../lib/random.ts";

// The engine is killed at no chosen moment at all, while many verbs are under way at once behind both walls.
const rounds = 20;
const workers = 8;
/** Of which the last are VMs. */
const names = ["a", "b", "c", "d", "e", "f", "v", "w"];
const isVm = (name: string) => name >= "v";
/** Milliseconds from the burst's begin to the kill, at most: a VM's boot under emulation takes about this long. */
const longestBurst = 2500;
const patience = 60_000;

/** What a verb may answer in such a crowd; anything else is a fault of the engine. */
const expected = ["conflict", "not_found", "exists", "unavailable"];

const engine = new TestEngine();
const scope = () => ({ ...engine.scope, restarts: true });
let before: Snapshot;

beforeAll(async () => {
  await engine.start();
  await engine.ok("image", "bootstrap", "busybox");
  for (const wall of ["container", "vm"])
    await engine.ok("run", "--rm", "--isolation", wall, "busybox", "true");
  before = snapshot(scope());
}, 120_000);
afterAll(() => engine[Symbol.asyncDispose](), 120_000);

function connect(): Api {
  return new Api({ socket: `${engine.run}/gantry.sock`, project: "default" });
}

async function verb(api: Api, chance: Chance): Promise<void> {
  const name = chance.pick(names);
  let what = chance.below(12);
  // A VM lives long enough to be met.
  if (isVm(name) && what >= 7 && what <= 9 && chance.below(4) > 0) what = 6;
  if (what < 3) {
    const restart = { name: chance.pick(["no", "no", "always"] as const), maxRetries: 0 };
    const autoRemove = restart.name === "no" && chance.below(4) === 0;
    const ports = [{ hostIp: "127.0.0.1", hostPort: 0, containerPort: 80, protocol: "tcp" as const }];
    const mounts = [{ type: "volume" as const, target: "/data", readOnly: false, noCopy: false }];
    const command = chance.pick([["sleep", "1000"], ["sleep", "1000"], ["sleep", "0.3"], ["false"]]);
    const isolation = isVm(name) ? "vm" : "container";
    await api.create({ image: "busybox", isolation, command, restart, autoRemove, ports, mounts }, name);
  } else if (what < 7) await api.start(name);
  else if (what === 7) await api.stop(name, 0);
  else if (what === 8) await api.kill(name);
  else if (what === 9) await api.remove(name, { force: true, volumes: true });
  else if (what === 10) await api.pause(name);
  else await api.unpause(name);
}

/** Boots take long under emulation: some VMs are up already when the crowd comes. */
async function warm(api: Api, chance: Chance): Promise<void> {
  const vms = await api.list({ all: true, filters: { name: ["v", "w"] } });
  const picked = vms.filter(({ state }) => state !== "paused" && chance.below(2) === 0);
  await Promise.all(picked.map(({ id }) => api.start(id)));
}

/** One crowd of verbs, cut off by SIGKILL. Returns the answers that should not have been. */
async function burst(chance: Chance): Promise<string[]> {
  const api = connect();
  await warm(api, chance);
  const faults: string[] = [];
  let over = false;
  const work = async (own: Chance) => {
    while (!over) {
      try {
        await verb(api, own);
      } catch (error) {
        const { code, message } = GantryError.from(error);
        if (!expected.includes(code)) faults.push(`${code}: ${message}`);
      }
      await Bun.sleep(own.below(30));
    }
  };
  const all = Array.from({ length: workers }, () => work(new Chance(chance.below(2 ** 31))));
  await Bun.sleep(chance.below(longestBurst));
  over = true;
  await engine.end("SIGKILL");
  await Promise.race([
    Promise.all(all),
    Bun.sleep(patience).then(() => {
      throw new Error("requests hang after the engine's death");
    }),
  ]);
  api.close();
  return faults;
}

/** Fully running, at rest, or about to restart: nothing between, and what runs answers. */
async function check(api: Api, { id, name }: InstanceView): Promise<void> {
  const view = await eventually(
    `${name} at rest`,
    async () => {
      const now = await api.inspect(id).catch((error: Error) => error);
      if (now instanceof Error) return GantryError.from(now).code === "not_found" ? "gone" : undefined; // --rm
      return ["restarting", "starting", "stopping", "removing"].includes(now.state) ? undefined : now;
    },
    patience,
  );
  if (view === "gone") return;
  expect({ name, state: view.state, error: view.error }).toMatchObject({
    state: expect.stringMatching(/^(created|running|paused|exited)$/),
  });
  if (view.state !== "running" || view.config.command?.join(" ") !== "sleep 1000") return;
  expect(await engine.ok("exec", name, "echo", "alive")).toBe("alive");
}

test("20 kills of the engine amid a crowd of verbs: whole instances, and nothing left of the others", async () => {
  const seed = seedOf();
  console.log(`GANTRY_SEED=${seed} repeats this`);
  const chance = new Chance(seed);
  const seen: Record<string, number> = {};
  for (let round = 1; round <= rounds; round++) {
    const faults = await burst(chance);
    await engine.start();
    const api = connect();
    const left = await api.list({ all: true });
    for (const view of left) {
      const kind = `${view.config.isolation} ${view.state}`;
      seen[kind] = (seen[kind] ?? 0) + 1;
      await check(api, view);
    }
    expect({ round, faults }).toEqual({ round, faults: [] });
    if (round % 5 === 0) {
      for (const { id } of await api.list({ all: true }))
        await api.remove(id, { force: true, volumes: true });
      expect(await api.volumes()).toEqual([]);
      expect({ round, left: await settle(before, scope(), 20_000) }).toEqual({ round, left: [] });
    }
    api.close();
  }
  console.log(`found after the kills: ${JSON.stringify(seen)}`);
  // A run that never met a living instance behind either wall has shown nothing.
  for (const wall of ["container", "vm"])
    expect(
      ["running", "paused", "stopping"].map((state) => seen[`${wall} ${state}`] ?? 0).reduce((a, b) => a + b),
    ).toBeGreaterThan(0);
}, 900_000);
