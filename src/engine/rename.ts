import { GantryError } from "../model/errors.ts";
import { checkName } from "../model/ids.ts";
import { type Context, emit, instanceOf, isActive, sandboxOf, update } from "./context.ts";
import { dnsNames } from "./sandbox.ts";

/** See ports/engine.ts. */
export async function rename(
  context: Context,
  project: string,
  reference: string,
  name: string,
): Promise<void> {
  checkName("instance", name);
  const { id } = context.state.findInstance(project, reference);
  await context.lock.run(id, async () => {
    const { name: oldName } = instanceOf(context, id);
    if (oldName === name) throw new GantryError("invalid", `the instance is called ${name} already`);
    const record = update(context, id, { name }); // throws conflict, naming the holder
    const { attachment } = sandboxOf(context, record);
    if (isActive(record) && attachment) context.network.setNames(project, attachment, dnsNames(record));
    emit(context, record, "rename", { oldName });
  });
}
