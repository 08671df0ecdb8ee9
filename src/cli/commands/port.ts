import { command, UsageError } from "../command.ts";
import { print } from "../stdio.ts";

export default command({
  usage: "INSTANCE [PORT[/PROTOCOL]]",
  about: "Shows where an instance's ports are published on the host.",
  flags: {},
  later: { all: "", a: "" },
  args: [1, 2],
  examples: [
    ["gantry port web", "All of them"],
    ["gantry port web 80", "Where port 80 is"],
  ],
  async run({ api }, [reference, wanted]) {
    const { name, publishedPorts } = await api.inspect(reference!);
    const where = (p: (typeof publishedPorts)[number]) =>
      `${p.hostIp.includes(":") ? `[${p.hostIp}]` : p.hostIp}:${p.hostPort}`;
    if (wanted === undefined) {
      await print(publishedPorts.map((p) => `${p.containerPort}/${p.protocol} -> ${where(p)}\n`).join(""));
      return 0;
    }
    const match = /^(\d{1,5})(?:\/(tcp|udp))?$/.exec(wanted);
    if (!match) throw new UsageError(`${JSON.stringify(wanted)} is no port: say 80 or 53/udp`);
    const found = publishedPorts.filter(
      (p) => p.containerPort === Number(match[1]) && p.protocol === (match[2] ?? "tcp"),
    );
    if (found.length === 0)
      throw new UsageError(`${name} publishes no port ${match[1]}/${match[2] ?? "tcp"}`);
    await print(found.map((p) => `${where(p)}\n`).join(""));
    return 0;
  },
});
