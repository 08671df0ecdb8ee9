import { bool, command, value } from "../command.ts";
import { printInspected } from "../listing.ts";
import { print } from "../stdio.ts";

export default command({
  usage: "[flags]",
  about: "Shows the engine, the host, and what was probed about each wall.",
  flags: {
    format: value("TEMPLATE", "Show by a template: {{.kernel}}, or json", { short: "f" }),
    json: bool("Show as JSON"),
  },
  args: [0, 0],
  examples: [
    ["gantry info", "For people"],
    ["gantry info --json", "For programs"],
  ],
  async run({ api }, _args, flags) {
    const info = await api.info();
    if (flags.json || flags.format !== undefined) {
      await printInspected([info], flags.json ? "json" : flags.format);
      return 0;
    }
    const lines = [
      `Engine:    gantry ${info.version}, pid ${info.pid}`,
      `Root:      ${info.root}`,
      `Run:       ${info.run}`,
      `Kernel:    ${info.kernel}, cgroup ${info.cgroup}`,
      `Instances: ${
        Object.entries(info.instances)
          .map(([state, count]) => `${count} ${state}`)
          .join(", ") || "none"
      }`,
      `Images:    ${info.images}`,
      "Walls:",
    ];
    for (const facts of info.isolations) {
      lines.push(`  ${facts.isolation}: ${facts.usable ? "" : "not usable: "}${facts.summary}`);
      for (const [key, text] of Object.entries(facts.details)) lines.push(`    ${key}: ${text}`);
      for (const advice of facts.advice) lines.push(`    advice: ${advice}`);
    }
    lines.push("Network:", ...Object.entries(info.network).map(([key, text]) => `  ${key}: ${text}`));
    await print(`${lines.join("\n")}\n`);
    return 0;
  },
});
