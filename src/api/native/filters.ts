import Type, { type Static } from "typebox";
import { check, parseJson } from "./validate.ts";

const Filters = Type.Record(Type.String(), Type.Array(Type.String({ maxLength: 4096 }), { maxItems: 256 }));

/** Reads the `filters` parameter: a JSON object of names to arrays of values. Throws `invalid`. */
export const readFilters = (text: string | undefined): Static<typeof Filters> =>
  text === undefined
    ? {}
    : (check(Filters, parseJson(text, "the query's filters"), "the query's filters") as Static<
        typeof Filters
      >);
