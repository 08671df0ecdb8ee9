import type { TObject, TSchema } from "typebox";
import { Settings } from "typebox/system";
import Value from "typebox/value";
import { GantryError } from "../../model/errors.ts";

// All errors of a union are needed to tell which branch was meant; the default stops at 8.
Settings.Set({ maxErrors: 256 });

interface Problem {
  keyword: string;
  schemaPath: string;
  instancePath: string;
  params: Record<string, unknown>;
  message: string;
}

const fieldName = (pointer: string): string =>
  pointer
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .join(".");

/** Errors of a union's branches that the value did not mean (its `type` names another) only confuse. */
function meant(problems: Problem[]): Problem[] {
  const wrongBranch = new Set(
    problems
      .filter((p) => p.keyword === "const")
      .map((p) => /^(.*\/anyOf\/\d+)\/properties\/type$/.exec(p.schemaPath)?.[1])
      .filter((p) => p !== undefined),
  );
  const rest = problems.filter((p) => ![...wrongBranch].some((branch) => p.schemaPath.startsWith(branch)));
  return rest.length > 0 ? rest : problems;
}

function describe(problem: Problem, where: string): string {
  const name = fieldName(problem.instancePath);
  const at = (field: string) => JSON.stringify(name === "" ? field : `${name}.${field}`);
  if (problem.keyword === "additionalProperties") {
    const unknown = (problem.params.additionalProperties as string[]).slice(0, 5);
    return `${where} has an unknown field ${unknown.map((u) => at(String(u).slice(0, 80))).join(", ")}`;
  }
  if (problem.keyword === "required") {
    const missing = (problem.params.requiredProperties as string[]).slice(0, 5);
    return `${where} lacks ${missing.map(at).join(", ")}`;
  }
  return `${where}: ${name === "" ? "it" : JSON.stringify(name)} ${problem.message}`;
}

const rank = ["additionalProperties", "type", "required"];

/**
 * Checks `value` against `schema`; throws `invalid` with one line that names the field and what is wrong with it.
 * `where` says what is checked: "the body", "the query".
 */
export function check(schema: TSchema, value: unknown, where: string): unknown {
  if (Value.Check(schema, value)) return value;
  const problems = meant([...Value.Errors(schema, value)] as unknown as Problem[]).filter(
    (p) => p.keyword !== "boolean",
  );
  const constants = problems.filter((p) => p.keyword === "const" || p.keyword === "enum");
  problems.sort((a, b) => ((rank.indexOf(a.keyword) + 4) % 4) - ((rank.indexOf(b.keyword) + 4) % 4));
  const first = problems[0];
  if (first && constants.length > 1 && constants[0]?.instancePath === first.instancePath)
    throw new GantryError(
      "invalid",
      `${where}: ${JSON.stringify(fieldName(first.instancePath))} must be one of ${constants
        .filter((p) => p.instancePath === first.instancePath)
        .map((p) => JSON.stringify(p.params.allowedValue))
        .join(", ")}`,
    );
  throw new GantryError("invalid", first ? describe(first, where) : `${where} does not fit its schema`);
}

function coerce(type: unknown, text: string): unknown {
  if (type === "boolean") {
    if (text === "" || text === "1" || text === "true") return true;
    if (text === "0" || text === "false") return false;
  }
  if ((type === "integer" || type === "number") && /^-?\d+(\.\d+)?$/.test(text)) return Number(text);
  return text;
}

/** Reads a query string by its schema: booleans, numbers, and arrays from repeated names. */
export function readQuery(schema: TObject | undefined, search: URLSearchParams): unknown {
  const properties = (schema?.properties ?? {}) as Record<
    string,
    { type?: string; items?: { type?: string } }
  >;
  const query: Record<string, unknown> = {};
  for (const name of new Set(search.keys())) {
    if (name === "project") continue;
    const all = search.getAll(name);
    const type = properties[name]?.type;
    if (type === "array") query[name] = all.map((text) => coerce(properties[name]?.items?.type, text));
    else if (all.length > 1)
      throw new GantryError("invalid", `the query gives ${JSON.stringify(name.slice(0, 80))} more than once`);
    else query[name] = coerce(type, all[0]!);
  }
  if (schema) return check(schema, query, "the query");
  const unknown = Object.keys(query)[0];
  if (unknown !== undefined)
    throw new GantryError(
      "invalid",
      `the query has an unknown field ${JSON.stringify(unknown.slice(0, 80))}`,
    );
  return undefined;
}

/** Parses JSON text; throws `invalid` on one line. */
export function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new GantryError(
      "invalid",
      `${where} is not JSON: ${(error as Error).message.replace(/\s+/g, " ").slice(0, 200)}`,
    );
  }
}
