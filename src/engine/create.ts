import { mkdirSync } from "node:fs";
import { instanceFolder } from "../lib/paths.ts";
import { Undo } from "../lib/undo.ts";
import { GantryError } from "../model/errors.ts";
import { checkName, newId, shortId } from "../model/ids.ts";
import type { InstanceConfig, InstanceRecord, SandboxRecord } from "../model/instance.ts";
import type { Refusal } from "../ports/isolation.ts";
import { checkBinds, writableSources } from "./bind-sources.ts";
import { type Context, emit, planFacts } from "./context.ts";
import { failpoint } from "./failpoint.ts";
import { randomName } from "./names.ts";
import { instanceLabel, type Plan, plan } from "./plan/plan.ts";
import { discardCreate } from "./remove.ts";
import { allocateUid } from "./uid.ts";

/** See ports/engine.ts. Everything that can be refused is refused here, before anything is made. */
export async function create(
  context: Context,
  project: string,
  name: string | undefined,
  config: InstanceConfig,
): Promise<InstanceRecord> {
  const chosen = name === undefined ? freeName(context, project) : checkName("instance", name);
  refuseTaken(context, project, chosen);
  const backend = context.backends[config.isolation];
  const refusals = backend.refusals(config);
  if (refusals.length > 0) throw new GantryError("unsupported", refusalText(config, refusals));

  const image = await context.images.resolve(project, config.image);
  await using lease = new Undo();
  context.images.lease(image, lease);
  await using undo = new Undo();
  const id = newId();
  const planned = plan(
    { id, project, sandboxId: id, config },
    image.config,
    planFacts(context, config.isolation),
  );
  checkBinds(planned.binds, writableSources(planned.binds, context.state.instances.all()));

  // A sandbox's record without an instance's is a creation under way: a crash is undone from it.
  const sandbox: SandboxRecord = {
    id,
    project,
    isolation: config.isolation,
    ...(config.isolation === "vm" && { uid: allocateUid(context.state) }),
  };
  context.state.sandboxes.put(sandbox);
  undo.defer("the half-made instance", () => discardCreate(context, sandbox));
  failpoint("create.after-intent");

  const record: InstanceRecord = {
    id,
    project,
    name: chosen,
    config,
    imageDigest: image.digest,
    state: "created",
    sandboxId: id,
    createdAt: Date.now(),
    oomKilled: false,
    generation: 0,
    restartCount: 0,
    stoppedByUser: false,
    volumes: [],
  };
  mkdirSync(instanceFolder(context.paths, id), { recursive: true, mode: 0o700 });
  await backend.createLayer(record, image);
  failpoint("create.after-layer");
  record.volumes = await makeVolumes(context, record, planned);
  failpoint("create.after-volumes");
  context.state.instances.put(record);
  undo.release();
  failpoint("create.after-record");
  emit(context, record, "create");
  return record;
}

async function makeVolumes(
  context: Context,
  record: InstanceRecord,
  planned: Plan,
): Promise<InstanceRecord["volumes"]> {
  const made: InstanceRecord["volumes"] = [];
  for (const { name, target } of planned.volumes) {
    const volume =
      name === undefined
        ? await context.volumes.create(record.project, undefined, { [instanceLabel]: record.id })
        : ((await context.volumes.get(record.project, name)) ??
          (await context.volumes.create(record.project, name, {})));
    made.push({ name: volume.name, target, anonymous: name === undefined });
  }
  return made;
}

function refuseTaken(context: Context, project: string, name: string): void {
  if (!context.state.nameTaken(project, name)) return;
  const holder = context.state.findInstance(project, name);
  throw new GantryError(
    "conflict",
    `the name ${JSON.stringify(name)} is already in use by instance ${shortId(holder.id)}; remove or rename it to use the name again`,
  );
}

function freeName(context: Context, project: string): string {
  for (let attempt = 0; attempt < 100; attempt++) {
    const name = randomName(attempt);
    if (!context.state.nameTaken(project, name)) return name;
  }
  throw new GantryError("exhausted", "no free name was found; give one with --name");
}

const refusalText = (config: InstanceConfig, refusals: Refusal[]): string =>
  `not possible with --isolation ${config.isolation}: ${refusals.map(({ flag, reason }) => `${flag} (${reason})`).join(", ")}`;
