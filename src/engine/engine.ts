import type { Engine } from "../ports/engine.ts";
import { attach } from "./attach.ts";
import { type Context, createContext, type Ports } from "./context.ts";
import { readArchive, statPath, writeArchive } from "./copy.ts";
import { create } from "./create.ts";
import { doctor } from "./doctor.ts";
import { events } from "./events.ts";
import { createExec, inspectExec, resizeExec, startExec } from "./exec.ts";
import { removeImage } from "./gc.ts";
import { announcedImages } from "./images.ts";
import { info } from "./info.ts";
import { inspect } from "./inspect.ts";
import { kill } from "./kill.ts";
import { list } from "./list.ts";
import { logs } from "./logs.ts";
import { within } from "./patience.ts";
import { pause, unpause } from "./pause.ts";
import { reconcile } from "./reconcile.ts";
import { remove } from "./remove.ts";
import { rename } from "./rename.ts";
import { restart } from "./restart.ts";
import { forgetRestart } from "./restart-policy.ts";
import { start } from "./start.ts";
import { resize, stats } from "./stats.ts";
import { stop } from "./stop.ts";
import { viewOf } from "./view.ts";
import { createVolume, inspectVolume, listVolumes, pruneVolumes, removeVolume } from "./volumes.ts";
import { wait } from "./wait.ts";

/** A start takes less; what takes longer is left to the next engine, as after a crash. */
const closePatience = 5000;

export interface RunningEngine {
  engine: Engine;
  /** Brings records and machine together; to be awaited before the first verb. */
  reconcile(): Promise<void>;
  /** Waits a little for verbs under way, then lets go of everything and leaves the instances as they are. */
  close(): Promise<void>;
}

/** The engine over its ports: each verb is a function over one context. */
export function createEngine(ports: Ports): RunningEngine {
  const context = createContext(ports);
  return {
    engine: verbs(context),
    reconcile: () => reconcile(context),
    async close() {
      context.closing = true;
      await within(context.lock.idle(), closePatience, undefined);
      for (const id of [...context.restarts.keys()]) forgetRestart(context, id);
      for (const { supervisor } of context.live.values()) supervisor.disconnect();
      context.live.clear();
    },
  };
}

const verbs = (context: Context): Engine => ({
  create: async (...args) => await viewOf(context, await create(context, ...args)),
  start: async (...args) => await viewOf(context, await start(context, ...args)),
  stop: (...args) => stop(context, ...args),
  kill: (...args) => kill(context, ...args),
  restart: async (...args) => await viewOf(context, await restart(context, ...args)),
  pause: (...args) => pause(context, ...args),
  unpause: (...args) => unpause(context, ...args),
  rename: (...args) => rename(context, ...args),
  remove: (...args) => remove(context, ...args),
  list: (...args) => list(context, ...args),
  inspect: (...args) => inspect(context, ...args),
  wait: (...args) => wait(context, ...args),
  logs: (...args) => logs(context, ...args),
  attach: (...args) => attach(context, ...args),
  resize: (...args) => resize(context, ...args),
  createExec: (...args) => createExec(context, ...args),
  startExec: (...args) => startExec(context, ...args),
  inspectExec: (...args) => inspectExec(context, ...args),
  resizeExec: (...args) => resizeExec(context, ...args),
  stats: (...args) => stats(context, ...args),
  statPath: (...args) => statPath(context, ...args),
  readArchive: (...args) => readArchive(context, ...args),
  writeArchive: (...args) => writeArchive(context, ...args),
  events: (...args) => events(context, ...args),
  images: announcedImages(context),
  createVolume: (...args) => createVolume(context, ...args),
  listVolumes: (...args) => listVolumes(context, ...args),
  inspectVolume: (...args) => inspectVolume(context, ...args),
  removeVolume: (...args) => removeVolume(context, ...args),
  pruneVolumes: (...args) => pruneVolumes(context, ...args),
  removeImage: (...args) => removeImage(context, ...args),
  info: () => info(context),
  doctor: () => doctor(context),
});
