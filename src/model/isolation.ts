import Type from "typebox";

/** The walls an instance can run behind. `tenant` joins when its backend exists. */
export const Isolation = Type.Union([Type.Literal("container"), Type.Literal("vm")]);
export type Isolation = Type.Static<typeof Isolation>;
export const isolations: readonly Isolation[] = ["container", "vm"];
