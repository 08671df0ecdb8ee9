import { randomBytes } from "node:crypto";
import { GantryError } from "./errors.ts";

/** A fresh 64-digit lowercase hex id, as Docker's. */
export const newId = (): string => randomBytes(32).toString("hex");

/** The 12 digits that people see and type. */
export const shortId = (id: string): string => id.slice(0, 12);

const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/;

/** Checks an instance, volume or project name; throws `invalid` with what a name may hold. */
export function checkName(kind: string, name: string): string {
  if (!namePattern.test(name))
    throw new GantryError(
      "invalid",
      `${kind} name ${JSON.stringify(name)} is not usable: start with a letter or digit, then letters, digits, "_", "." or "-", at most 128`,
    );
  return name;
}

/** The project that everything belongs to until another is named. */
export const defaultProject = "default";
