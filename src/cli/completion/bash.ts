import { type CompletedCommand, firstWords, isFixed, spellings } from "./model.ts";

/** The completion script for bash. */
export function bashScript(commands: readonly CompletedCommand[]): string {
  const nested = [...new Set(commands.filter((c) => c.name.includes(" ")).map((c) => c.name.split(" ")[0]!))];
  const verbs = nested.map((noun) => {
    const words = commands
      .filter((c) => c.name.startsWith(`${noun} `))
      .map((c) => c.name.slice(noun.length + 1));
    return `    ${noun}) words="${words.join(" ")}" ;;`;
  });
  const cases = commands.map((c) => {
    const flags = c.flags.flatMap(([name, flag]) => spellings(name, flag)).join(" ");
    const withValue = c.flags
      .filter(([, flag]) => flag.kind !== "bool")
      .flatMap(([name, flag]) => spellings(name, flag));
    const fixed = c.flags
      .filter(([, flag]) => isFixed(flag.completes))
      .map(
        ([name, flag]) =>
          `${spellings(name, flag).join("|")}) values="${(flag.completes as readonly string[]).join(" ")}" ;;`,
      );
    return [
      `    "${c.name}")`,
      `      flags="${flags} --help"; valued=" ${withValue.join(" ")} "; kind=${c.completes}; once=${c.firstOnly ? 1 : 0}`,
      ...(fixed.length > 0 ? [`      case "$previous" in ${fixed.join(" ")} esac`] : []),
      "      ;;",
    ].join("\n");
  });
  return `# Completion of gantry for bash: source <(gantry completion bash)
_gantry() {
  local current previous command="" positional=0 i word words flags="" valued="" kind=none once=0 values="" skip=0
  COMPREPLY=()
  current="\${COMP_WORDS[COMP_CWORD]}"
  previous="\${COMP_WORDS[COMP_CWORD-1]}"
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    if ((skip)); then skip=0; continue; fi
    if [[ -z $command ]]; then
      case "$word" in
        --root|--run|--project) skip=1 ;;
        -*) ;;
        *) command="$word" ;;
      esac
    elif [[ $command == ${nested.length > 0 ? `@(${nested.join("|")})` : "-"} && $word != -* ]]; then command="$command $word"
    elif [[ $word != -* ]]; then positional=$((positional + 1)); fi
  done
  case "$command" in
    "") words="${firstWords(commands)
      .map(([word]) => word)
      .join(
        " ",
      )} --root --run --project --version --help"; COMPREPLY=($(compgen -W "$words" -- "$current")); return ;;
    ${nested.join("|")})
    case "$command" in
${verbs.join("\n")}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current")); return ;;
  esac
  case "$command" in
${cases.join("\n")}
  esac
  if [[ -n $values ]]; then COMPREPLY=($(compgen -W "$values" -- "$current")); return; fi
  if [[ $previous == -* && $valued == *" $previous "* ]]; then COMPREPLY=($(compgen -f -- "$current")); return; fi
  if [[ $current == -* ]]; then COMPREPLY=($(compgen -W "$flags" -- "$current")); return; fi
  case "$kind" in
    none) ;;
    file) COMPREPLY=($(compgen -f -- "$current")) ;;
    *) COMPREPLY=($(compgen -W "$("\${COMP_WORDS[0]}" __complete "$kind" 2>/dev/null)" -- "$current")) ;;
  esac
}
complete -o default -F _gantry gantry
`;
}
