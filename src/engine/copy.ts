import { GantryError } from "../model/errors.ts";
import type { InstanceRecord } from "../model/instance.ts";
import type { PathStat, Supervisor } from "../ports/supervisor.ts";
import { backendOf, type Context, instanceOf, isActive, liveOf, planFacts, sandboxOf } from "./context.ts";
import { volumeFolders } from "./mounts.ts";
import { complete, plan } from "./plan/plan.ts";

type Files = Pick<Supervisor, "stat" | "readArchive" | "writeArchive">;
/** A client that takes nothing of an archive for so long has gone. */
const idleLimit = 60_000;

/** See ports/engine.ts. */
export async function statPath(
  context: Context,
  project: string,
  reference: string,
  path: string,
): Promise<PathStat> {
  return await withFiles(context, project, reference, (files, id) => files.stat(id, absolute(path)));
}

/** See ports/engine.ts. */
export async function writeArchive(
  context: Context,
  project: string,
  reference: string,
  path: string,
  tar: AsyncIterable<Uint8Array>,
): Promise<void> {
  await withFiles(context, project, reference, (files, id) => files.writeArchive(id, absolute(path), tar));
}

/** See ports/engine.ts. A stopped instance's files stay open until the archive was read to its end or given up. */
export async function readArchive(
  context: Context,
  project: string,
  reference: string,
  path: string,
): Promise<{ stat: PathStat; tar: AsyncIterable<Uint8Array> }> {
  const record = context.state.findInstance(project, reference);
  if (isActive(record))
    return await liveOf(context, record).supervisor.readArchive(record.id, absolute(path));
  const opened = Promise.withResolvers<{ stat: PathStat; tar: AsyncIterable<Uint8Array> }>();
  withFiles(context, project, reference, async (files, id) => {
    const { stat, tar } = await files.readArchive(id, absolute(path));
    const done = Promise.withResolvers<void>();
    opened.resolve({ stat, tar: released(tar, done.resolve) });
    await done.promise;
  }).catch(opened.reject);
  return await opened.promise;
}

/** The same bytes; `release` is called at the end, on a break, and when nobody asks for the next piece for too long. */
async function* released(tar: AsyncIterable<Uint8Array>, release: () => void): AsyncGenerator<Uint8Array> {
  let timer = setTimeout(release, idleLimit);
  try {
    for await (const chunk of tar) {
      clearTimeout(timer);
      timer = setTimeout(release, idleLimit);
      yield chunk;
    }
  } finally {
    clearTimeout(timer);
    release();
  }
}

/** The files of a running instance through its supervisor, of any other through its wall's confined way, start kept out. */
async function withFiles<T>(
  context: Context,
  project: string,
  reference: string,
  use: (files: Files, id: string) => Promise<T>,
): Promise<T> {
  const found = context.state.findInstance(project, reference);
  if (isActive(found)) return await use(liveOf(context, found).supervisor, found.id);
  return await context.lock.run(found.id, async () => {
    const record = instanceOf(context, found.id);
    if (isActive(record)) return await use(liveOf(context, record).supervisor, record.id);
    return await offline(context, record, (files) => use(files, record.id));
  });
}

async function offline<T>(
  context: Context,
  record: InstanceRecord,
  use: (files: Files) => Promise<T>,
): Promise<T> {
  if (record.state === "removing" || record.state === "broken")
    throw new GantryError(
      "conflict",
      `instance ${record.name} is ${record.state}: its files cannot be reached`,
    );
  const sandbox = sandboxOf(context, record);
  const image = await context.images.byDigest(record.imageDigest);
  const planned = plan(record, image.config, planFacts(context, record.config.isolation));
  const folders = await volumeFolders(context, record, planned, image);
  const { hostMounts } = complete(planned, folders, undefined);
  const backend = backendOf(context, sandbox);
  await backend.createLayer(record, image);
  return await backend.withFiles(
    { sandbox, instance: record, attachment: undefined, image, hostMounts },
    use,
  );
}

function absolute(path: string): string {
  if (path === "" || path.includes("\0"))
    throw new GantryError("invalid", "the path in the instance is empty: give one after the colon");
  return path.startsWith("/") ? path : `/${path}`;
}
