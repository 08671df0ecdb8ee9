import type { InstanceView } from "../ports/engine.ts";
import type { Context } from "./context.ts";
import { viewOf } from "./view.ts";

/** See ports/engine.ts. */
export const inspect = async (context: Context, project: string, reference: string): Promise<InstanceView> =>
  await viewOf(context, context.state.findInstance(project, reference));
