import { describe, expect, test } from "bun:test";
import { parseTemplate } from "./parse.ts";
import { render } from "./render.ts";

const data = {
  ID: "abc",
  State: { Status: "running", Pid: 7 },
  Names: ["a", "b"],
  Labels: { x: "1", "com.y": "2" },
  Empty: "",
  Mounts: [
    { Source: "/h", Destination: "/d" },
    { Source: "/i", Destination: "/e" },
  ],
};
const show = (template: string) => render(parseTemplate(template), data);

describe("--format templates", () => {
  test.each([
    ["{{.ID}}", "abc"],
    ["{{ .ID }}:{{.State.Status}}", "abc:running"],
    ["{{json .State}}", '{"Status":"running","Pid":7}'],
    ["{{json .}}", JSON.stringify(data)],
    ["{{range .Mounts}}{{.Source}}->{{.Destination}} {{end}}", "/h->/d /i->/e "],
    ["{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "com.y=2;x=1;"],
    ["{{range .Names}}{{.}}{{$.ID}}{{end}}", "aabcbabc"],
    ["{{range .Empty}}x{{else}}none{{end}}", "none"],
    ['{{if eq .State.Status "running"}}up{{else}}down{{end}}', "up"],
    ["{{if .Empty}}a{{else if .ID}}b{{else}}c{{end}}!", "b!"],
    ["{{with .State}}{{.Pid}}{{end}}", "7"],
    ['{{index .Labels "com.y"}}', "2"],
    ["{{index .Names 1}}", "b"],
    ['{{join .Names ","}}', "a,b"],
    ['{{printf "%-5s|%d" .ID .State.Pid}}', "abc  |7"],
    ["{{.ID | upper}}", "ABC"],
    ["{{len .Names}}", "2"],
    ["{{not .Empty}}", "true"],
    ["{{.Labels}}", "map[com.y:2 x:1]"],
    ["{{.Names}}", "[a b]"],
    ["{{.Labels.nothing}}", "<no value>"],
    ["a {{- .ID -}} b", "aabcb"],
    ["{{/* note */}}x", "x"],
    ["{{`}}`}}", "}}"],
  ] as [string, string][])("%s", (template, output) => {
    expect(show(template)).toBe(output);
  });

  test.each([
    ["{{.ID", "not closed"],
    ["{{.Stat}}", "did you mean .State"],
    ["{{.State.Nope}}", "there is no .Nope"],
    ["{{nope .ID}}", "no function"],
    ["{{if .ID}}x", 'no "end"'],
    ["{{end}}", "closes nothing"],
    ["{{}}", "empty"],
    ["{{(.ID}}", "not closed"],
    ["{{$x}}", "not set"],
    ["{{.ID .ID}}", "only a function"],
    ["{{constructor}}", "no function"],
    ["x".repeat(17 << 10), "longer than"],
    [`${"{{if .ID}}".repeat(40)}${"{{end}}".repeat(40)}`, "nested too deeply"],
    ['{{printf "%99999s" .ID}}', "over 1024"],
  ] as [string, string][])("%.40s is refused", (template, part) => {
    expect(() => show(template)).toThrow(part);
  });

  test("does not reach what the data does not own", () => {
    expect(show("{{.constructor}}")).toBe("<no value>");
    expect(show("{{.ID.length}}")).toBe("<no value>");
  });
});
