import { UsageError } from "../command.ts";
import { nearest } from "../nearest.ts";
import type { Expression, Node } from "./parse.ts";

const outputLimit = 16 << 20;
const stepLimit = 1_000_000;

const wrong = (why: string): UsageError => new UsageError(`--format: ${why}`);
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A value as Go's templates print it. */
export function show(value: unknown): string {
  if (value === undefined || value === null) return "<no value>";
  if (Array.isArray(value)) return `[${value.map(show).join(" ")}]`;
  if (isObject(value))
    return `map[${Object.keys(value)
      .sort()
      .map((key) => `${key}:${show(value[key])}`)
      .join(" ")}]`;
  return String(value);
}

const empty = (value: unknown): boolean =>
  value === undefined ||
  value === null ||
  value === false ||
  value === 0 ||
  value === "" ||
  (Array.isArray(value) && value.length === 0) ||
  (isObject(value) && Object.keys(value).length === 0);

const text = (value: unknown): string => (typeof value === "string" ? value : show(value));

function pad(verb: string, body: string): string {
  const width = Number(/^-?\d+/.exec(verb)?.[0] ?? 0);
  if (Math.abs(width) > 1024) throw wrong("printf: a width is over 1024");
  return width < 0 ? body.padEnd(-width) : body.padStart(width);
}

function printf(format: unknown, ...args: unknown[]): string {
  let next = 0;
  return text(format).replace(/%(-?\d*)([svdqt%])/g, (_, width: string, verb: string) => {
    if (verb === "%") return "%";
    const value = args[next++];
    return pad(width, verb === "q" ? JSON.stringify(text(value)) : text(value));
  });
}

const order = (a: unknown, b: unknown): number =>
  typeof a === "number" && typeof b === "number" ? a - b : text(a) < text(b) ? -1 : text(a) > text(b) ? 1 : 0;

const functions: Readonly<Record<string, (...args: unknown[]) => unknown>> = {
  json: (value) => JSON.stringify(value) ?? "null",
  join: (values, separator) => (Array.isArray(values) ? values : []).map(text).join(text(separator)),
  upper: (value) => text(value).toUpperCase(),
  lower: (value) => text(value).toLowerCase(),
  title: (value) => text(value).replace(/\b\w/g, (c) => c.toUpperCase()),
  split: (value, separator) => text(value).split(text(separator)),
  truncate: (value, length) => text(value).slice(0, Number(length)),
  pad: (value, before, after) =>
    `${" ".repeat(Math.min(1024, Number(before)))}${text(value)}${" ".repeat(Math.min(1024, Number(after)))}`,
  println: (...values) => `${values.map(text).join(" ")}\n`,
  print: (...values) => values.map(text).join(""),
  printf,
  len: (value) =>
    isObject(value) ? Object.keys(value).length : ((value as { length?: number } | undefined)?.length ?? 0),
  index: (value, ...keys) =>
    keys.reduce((at: unknown, key) => {
      const own = typeof at === "object" && at !== null && Object.hasOwn(at, text(key));
      return own ? (at as Record<string, unknown>)[text(key)] : undefined;
    }, value),
  not: (value) => empty(value),
  and: (...values) => values.find(empty) ?? values.at(-1),
  or: (...values) => values.find((v) => !empty(v)) ?? values.at(-1),
  eq: (first, ...others) => others.some((other) => text(first) === text(other)),
  ne: (a, b) => text(a) !== text(b),
  lt: (a, b) => order(a, b) < 0,
  le: (a, b) => order(a, b) <= 0,
  gt: (a, b) => order(a, b) > 0,
  ge: (a, b) => order(a, b) >= 0,
  slice: (value, from, to) =>
    typeof value === "string" || Array.isArray(value)
      ? value.slice(Number(from ?? 0), to === undefined ? undefined : Number(to))
      : value,
};

interface Scope {
  dot: unknown;
  variables: Readonly<Record<string, unknown>>;
}

class Renderer {
  output = "";
  #steps = 0;

  #path(from: unknown, keys: readonly string[]): unknown {
    let at = from;
    for (const key of keys) {
      if (typeof at !== "object" || at === null) return undefined;
      if (isObject(at) && !Object.hasOwn(at, key)) {
        // A row or record has fixed keys, and capital letters; a map of labels may lack one.
        const known = Object.keys(at);
        if (!/^[A-Z]/.test(key)) return undefined;
        const meant = nearest(key, known);
        throw wrong(
          `there is no .${key}; ${meant === undefined ? `known here: ${known.slice(0, 24).join(", ")}` : `did you mean .${meant}?`}`,
        );
      }
      at = (at as Record<string, unknown>)[key];
    }
    return at;
  }

  #evaluate(expression: Expression, scope: Scope): unknown {
    if (++this.#steps > stepLimit) throw wrong("it takes too many steps");
    if (expression.kind === "literal") return expression.value;
    if (expression.kind === "path") {
      const from = expression.from === undefined ? scope.dot : scope.variables[expression.from];
      if (expression.from !== undefined && !Object.hasOwn(scope.variables, expression.from))
        throw wrong(`the variable ${expression.from} is not set`);
      return this.#path(from, expression.keys);
    }
    const call = Object.hasOwn(functions, expression.name) ? functions[expression.name] : undefined;
    if (!call)
      throw wrong(
        `there is no function ${JSON.stringify(expression.name)}; known: ${Object.keys(functions).join(", ")}`,
      );
    return call(...expression.args.map((arg) => this.#evaluate(arg, scope)));
  }

  #range(node: Extract<Node, { kind: "range" }>, scope: Scope): void {
    const subject = this.#evaluate(node.subject, scope);
    const entries: [unknown, unknown][] = Array.isArray(subject)
      ? subject.map((item, i) => [i, item])
      : isObject(subject)
        ? Object.keys(subject)
            .sort()
            .map((key) => [key, subject[key]])
        : [];
    if (entries.length === 0) this.render(node.otherwise, scope);
    for (const [key, item] of entries) {
      const variables = { ...scope.variables };
      if (node.key !== undefined) variables[node.key] = key;
      if (node.item !== undefined) variables[node.item] = item;
      this.render(node.body, { dot: item, variables });
    }
  }

  render(nodes: readonly Node[], scope: Scope): void {
    for (const node of nodes) {
      if (++this.#steps > stepLimit || this.output.length > outputLimit)
        throw wrong("it makes too much output");
      if (node.kind === "text") this.output += node.text;
      else if (node.kind === "value") this.output += text(this.#evaluate(node.expression, scope));
      else if (node.kind === "range") this.#range(node, scope);
      else if (node.kind === "if")
        this.render(empty(this.#evaluate(node.condition, scope)) ? node.otherwise : node.body, scope);
      else {
        const subject = this.#evaluate(node.subject, scope);
        if (empty(subject)) this.render(node.otherwise, scope);
        else this.render(node.body, { ...scope, dot: subject });
      }
    }
  }
}

/** Renders a parsed template with `data` as its dot. Bounded in steps and output. Throws UsageError. */
export function render(nodes: readonly Node[], data: unknown): string {
  const renderer = new Renderer();
  renderer.render(nodes, { dot: data, variables: { $: data } });
  return renderer.output;
}
