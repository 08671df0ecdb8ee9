import { GantryError } from "../model/errors.ts";
import type { State } from "../ports/state.ts";

const defaultBase = 710_000;
const range = 65_536;

/** The lowest host uid that no sandbox has, from the setting `uid-base` on. The caller records it before another asks. */
export function allocateUid(state: State): number {
  const base = Number(state.setting("uid-base") ?? defaultBase);
  const taken = new Set(state.sandboxes.all().map((sandbox) => sandbox.uid));
  for (let uid = base; uid < base + range; uid++) if (!taken.has(uid)) return uid;
  throw new GantryError("exhausted", `all ${range} uids for VMs from ${base} on are taken; remove some VMs`);
}
