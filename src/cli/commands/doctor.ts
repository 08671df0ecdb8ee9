import { bool, command } from "../command.ts";
import { print } from "../stdio.ts";

const marks = { ok: "ok     ", warning: "warning", problem: "PROBLEM" } as const;

export default command({
  usage: "[flags]",
  about:
    "Checks this host and says what is wrong and what to do about it. Ends with 1 when there is a problem.",
  flags: { json: bool("Show as JSON") },
  args: [0, 0],
  examples: [
    ["gantry doctor", "For people"],
    ["gantry doctor --json", "For programs"],
  ],
  async run({ api }, _args, flags) {
    const findings = await api.doctor();
    if (flags.json) await print(`${JSON.stringify(findings, undefined, 2)}\n`);
    else
      for (const { check, status, message, advice } of findings)
        await print(
          `${marks[status]}  ${check}: ${message}\n${advice === undefined ? "" : `         ${advice}\n`}`,
        );
    return findings.some((f) => f.status === "problem") ? 1 : 0;
  },
});
