import { UsageError } from "../command.ts";

/** An expression: a path, a literal, or a function with arguments; a pipe feeds its value on as the last argument. */
export type Expression =
  | { kind: "path"; from: string | undefined; keys: string[] }
  | { kind: "literal"; value: unknown }
  | { kind: "call"; name: string; args: Expression[] };

export type Node =
  | { kind: "text"; text: string }
  | { kind: "value"; expression: Expression }
  | { kind: "if"; condition: Expression; body: Node[]; otherwise: Node[] }
  | { kind: "with"; subject: Expression; body: Node[]; otherwise: Node[] }
  | { kind: "range"; subject: Expression; key?: string; item?: string; body: Node[]; otherwise: Node[] };

const sizeLimit = 16 << 10;
const depthLimit = 32;

const wrong = (why: string): UsageError => new UsageError(`--format: ${why}`);

/** Splits a template into texts and actions, with `{{-` and `-}}` trimming. */
function pieces(template: string): { action: boolean; text: string }[] {
  const result: { action: boolean; text: string }[] = [];
  let at = 0;
  let trim = false;
  while (at < template.length) {
    const open = template.indexOf("{{", at);
    let text = template.slice(at, open < 0 ? undefined : open);
    if (trim) text = text.trimStart();
    trim = false;
    if (open < 0) {
      result.push({ action: false, text });
      break;
    }
    let end = open + 2;
    for (let quote = ""; ; end++) {
      const letter = template[end];
      if (letter === undefined) throw wrong('"{{" is not closed');
      if (quote !== "") {
        if (letter === "\\" && quote === '"') end++;
        else if (letter === quote) quote = "";
      } else if (letter === '"' || letter === "`") quote = letter;
      else if (letter === "}" && template[end + 1] === "}") break;
    }
    let action = template.slice(open + 2, end);
    if (/^-\s/.test(action)) {
      text = text.trimEnd();
      action = action.slice(1);
    }
    if (/\s-$/.test(action)) {
      trim = true;
      action = action.slice(0, -1);
    }
    if (text !== "") result.push({ action: false, text });
    if (!action.startsWith("/*")) result.push({ action: true, text: action.trim() });
    at = end + 2;
  }
  return result;
}

const tokenPattern =
  /\s*("(?:[^"\\]|\\.)*"|`[^`]*`|\(|\)|\||:=|,|-?\d+(?:\.\d+)?|\$?\.?[\w$]*(?:\.[\w-]+)*)/y;

function tokens(text: string): string[] {
  const result: string[] = [];
  tokenPattern.lastIndex = 0;
  while (tokenPattern.lastIndex < text.length) {
    const match = tokenPattern.exec(text);
    if (!match || match[1] === "") throw wrong(`cannot read ${JSON.stringify(text.slice(0, 80))}`);
    result.push(match[1]!);
    const rest = /^\s+$/.test(text.slice(tokenPattern.lastIndex));
    if (rest) break;
  }
  return result;
}

function term(token: string): Expression {
  if (token.startsWith('"')) {
    try {
      return { kind: "literal", value: JSON.parse(token) };
    } catch {
      throw wrong(`cannot read the text ${token}`);
    }
  }
  if (token.startsWith("`")) return { kind: "literal", value: token.slice(1, -1) };
  if (/^-?\d/.test(token)) return { kind: "literal", value: Number(token) };
  if (token === "true" || token === "false") return { kind: "literal", value: token === "true" };
  if (token === "nil") return { kind: "literal", value: undefined };
  if (token === ".") return { kind: "path", from: undefined, keys: [] };
  if (token.startsWith(".")) return { kind: "path", from: undefined, keys: token.slice(1).split(".") };
  if (token.startsWith("$")) {
    const [name, ...keys] = token.split(".");
    return { kind: "path", from: name!, keys };
  }
  return { kind: "call", name: token, args: [] };
}

function expression(words: string[], depth = 0): Expression {
  if (depth > depthLimit) throw wrong("it is nested too deeply");
  let piped: Expression | undefined;
  for (;;) {
    const terms: Expression[] = [];
    while (words.length > 0 && words[0] !== "|" && words[0] !== ")") {
      const word = words.shift()!;
      if (word !== "(") {
        terms.push(term(word));
        continue;
      }
      terms.push(expression(words, depth + 1));
      if (words.shift() !== ")") throw wrong('"(" is not closed');
    }
    const [head, ...args] = terms;
    if (!head) throw wrong("an expression is empty");
    if (piped) args.push(piped);
    if (head.kind === "call" && head.args.length === 0) piped = { ...head, args };
    else if (args.length > 0) throw wrong("only a function takes arguments");
    else piped = head;
    if (words[0] !== "|") return piped;
    words.shift();
  }
}

function whole(text: string): Expression {
  const words = tokens(text);
  const result = expression(words);
  if (words.length > 0) throw wrong(`${JSON.stringify(words[0])} is out of place`);
  return result;
}

function rangeHead(text: string): { subject: Expression; key?: string; item?: string } {
  const match = /^(\$\w+)(?:\s*,\s*(\$\w+))?\s*:=\s*(.*)$/s.exec(text);
  if (!match) return { subject: whole(text) };
  const subject = whole(match[3]!);
  return match[2] === undefined ? { subject, item: match[1] } : { subject, key: match[1], item: match[2] };
}

/** Reads a template: the part of Go's text/template that people use in `--format`. Throws UsageError. */
export function parseTemplate(template: string): Node[] {
  if (template.length > sizeLimit) throw wrong(`it is longer than ${sizeLimit} bytes`);
  const queue = pieces(template);
  const block = (depth: number): { nodes: Node[]; end: "end" | "else" | undefined; rest?: string } => {
    if (depth > depthLimit) throw wrong("it is nested too deeply");
    const nodes: Node[] = [];
    for (let piece = queue.shift(); piece; piece = queue.shift()) {
      if (!piece.action) {
        nodes.push({ kind: "text", text: piece.text });
        continue;
      }
      const [, word, rest] = /^(\S*)\s*(.*)$/s.exec(piece.text) as unknown as [string, string, string];
      if (word === "end") return { nodes, end: "end" };
      if (word === "else") return { nodes, end: "else", rest };
      if (word !== "if" && word !== "range" && word !== "with") {
        nodes.push({ kind: "value", expression: whole(piece.text) });
        continue;
      }
      const body = block(depth + 1);
      let otherwise: Node[] = [];
      if (body.end === "else") {
        if (body.rest) queue.unshift({ action: true, text: body.rest });
        const second = block(depth + 1);
        otherwise = second.nodes;
        // "else if" is one block, whose end closes this one too.
        if (!body.rest && second.end !== "end") throw wrong(`"${word}" has no "end"`);
        if (body.rest && second.end !== "end" && second.end !== undefined)
          throw wrong(`"${word}" has no "end"`);
      } else if (body.end === undefined) throw wrong(`"${word}" has no "end"`);
      if (word === "if") nodes.push({ kind: "if", condition: whole(rest), body: body.nodes, otherwise });
      else if (word === "with")
        nodes.push({ kind: "with", subject: whole(rest), body: body.nodes, otherwise });
      else nodes.push({ kind: "range", ...rangeHead(rest), body: body.nodes, otherwise });
    }
    return { nodes, end: undefined };
  };
  const { nodes, end } = block(0);
  if (end !== undefined) throw wrong(`"${end}" closes nothing`);
  return nodes;
}
