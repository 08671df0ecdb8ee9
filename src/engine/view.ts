import type { InstanceRecord } from "../model/instance.ts";
import type { ImageConfig } from "../model/oci.ts";
import type { InstanceView } from "../ports/engine.ts";
import type { Context } from "./context.ts";
import { type Effective, merge } from "./plan/merge.ts";
import { logPath } from "./sandbox.ts";
import { signalName } from "./signals.ts";

const cacheLimit = 512;
const caches = new WeakMap<Context, Map<string, ImageConfig>>();

/** The image's configuration by digest; content never changes, so what was read once is kept. */
async function imageConfig(context: Context, digest: string): Promise<ImageConfig | undefined> {
  const cache = caches.get(context) ?? new Map<string, ImageConfig>();
  caches.set(context, cache);
  const known = cache.get(digest);
  if (known) return known;
  try {
    const { config } = await context.images.byDigest(digest);
    if (cache.size >= cacheLimit) cache.clear();
    cache.set(digest, config);
    return config;
  } catch {
    return undefined; // an image may be damaged or gone: its instances can still be looked at
  }
}

const noImage: ImageConfig = { architecture: "", os: "linux", rootfs: { type: "layers", diff_ids: [] } };

async function effectiveOf(context: Context, record: InstanceRecord): Promise<Effective> {
  const image = (await imageConfig(context, record.imageDigest)) ?? noImage;
  try {
    return merge(record, image);
  } catch {
    return merge({ ...record, config: { ...record.config, entrypoint: ["?"] } }, noImage);
  }
}

export const stopSignalOf = async (context: Context, record: InstanceRecord): Promise<string> =>
  record.config.stopSignal
    ? signalName(record.config.stopSignal)
    : (await effectiveOf(context, record)).stopSignal;

/** The record with all that is derived from it. */
export async function viewOf(context: Context, record: InstanceRecord): Promise<InstanceView> {
  const sandbox = context.state.sandboxes.get(record.sandboxId);
  const { hostname: _, ...effective } = await effectiveOf(context, record);
  const attachment = sandbox?.attachment;
  const phases = context.phases.get(record.id);
  return {
    ...record,
    ...(sandbox?.accelerator && { accelerator: sandbox.accelerator }),
    ...(sandbox?.supervisor && { supervisorPid: sandbox.supervisor.pid }),
    ...(attachment?.address && { address: attachment.address }),
    ...(attachment?.gateway && { gateway: attachment.gateway }),
    ...(attachment?.mac && { mac: attachment.mac }),
    publishedPorts: attachment?.ports ?? [],
    effective,
    logPath: logPath(context, record.id),
    ...(phases && { startPhases: phases }),
  };
}
