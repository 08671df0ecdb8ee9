import { type CompletedCommand, firstWords, isFixed } from "./model.ts";

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
const plain = (text: string): string => text.replace(/[[\]:\\]/g, (c) => `\\${c}`);

function action(completes: string | readonly string[] | undefined): string {
  if (isFixed(completes as never)) return `(${(completes as readonly string[]).join(" ")})`;
  if (completes === "file" || completes === undefined) return "_files";
  if (completes === "none") return " ";
  return `_gantry_names ${completes as string}`;
}

function specs({ flags, completes, firstOnly }: CompletedCommand): string[] {
  const result = ["'--help[Show the help]'"];
  for (const [name, flag] of flags) {
    const repeat = flag.kind === "list" ? "*" : "";
    const help = `[${plain(flag.help)}]`;
    const argument = flag.kind === "bool" ? "" : `:${plain(flag.value ?? "value")}:${action(flag.completes)}`;
    const long = `--${name}${flag.kind === "bool" ? "" : "="}`;
    result.push(quote(`${repeat}${long}${help}${argument}`));
    if (flag.short)
      result.push(quote(`${repeat}-${flag.short}${flag.kind === "bool" ? "" : "+"}${help}${argument}`));
  }
  if (firstOnly) result.push(quote(`1:name:${action(completes)}`), "'*::argument:_normal'");
  else result.push(quote(`*:name:${action(completes)}`));
  return result;
}

/** The completion script for zsh. */
export function zshScript(commands: readonly CompletedCommand[]): string {
  const nouns = [...new Set(commands.filter((c) => c.name.includes(" ")).map((c) => c.name.split(" ")[0]!))];
  const described = (rows: readonly (readonly [string, string])[]) =>
    rows.map(([word, summary]) => `    ${quote(`${plain(word)}:${plain(summary)}`)}`).join("\n");
  const cases = commands
    .map((c) => `    ${quote(c.name)})\n      _arguments -s ${specs(c).join(" \\\n        ")} ;;`)
    .join("\n");
  const nounCases = nouns
    .map((noun) => {
      const verbs = commands
        .filter((c) => c.name.startsWith(`${noun} `))
        .map((c) => [c.name.slice(noun.length + 1), c.summary] as const);
      return `    ${noun})\n      verbs=(\n${described(verbs)}\n      ) ;;`;
    })
    .join("\n");
  return `#compdef gantry
# Completion of gantry for zsh: gantry completion zsh > "\${fpath[1]}/_gantry"
_gantry_names() {
  local -a names
  names=(\${(f)"$(gantry __complete $1 2>/dev/null)"})
  compadd -a names
}
_gantry() {
  local command
  local -a commands verbs
  commands=(
${described(firstWords(commands))}
  )
  if (( CURRENT == 2 )); then _describe command commands; return; fi
  command=$words[2]
  case $command in
${nounCases}
  esac
  if (( $#verbs )); then
    if (( CURRENT == 3 )); then _describe verb verbs; return; fi
    command="$command $words[3]"
    shift words; (( CURRENT-- ))
  fi
  shift words; (( CURRENT-- ))
  case $command in
${cases}
  esac
}
if [[ $funcstack[1] == _gantry ]]; then _gantry "$@"; else compdef _gantry gantry; fi
`;
}
