import { bool, command } from "../command.ts";
import { ownCommand, stopEngine } from "../engine-start.ts";
import { print } from "../stdio.ts";

const unit = (program: string, root: string, run: string): string => `[Unit]
Description=Gantry, one engine for containers and VMs
After=network.target

[Service]
ExecStart=${program} --root ${root} --run ${run} daemon
Restart=on-failure
# Instances belong to their own supervisors: an engine that ends or restarts leaves them alone.
KillMode=process
Delegate=yes
TasksMax=infinity
LimitNOFILE=infinity

[Install]
WantedBy=multi-user.target
`;

export default command({
  usage: "[flags]",
  about:
    "Runs the engine in the foreground until SIGTERM or SIGINT. Instances go on without it.\n" +
    "Other commands start one by themselves when none answers; as a service it starts with the machine.",
  flags: {
    "print-unit": bool("Print a systemd unit and end"),
    stop: bool("End the engine that runs, and wait until it has; instances go on"),
    "clean-up": bool(
      "Take the bridge, the rules and the run folder away and end; refused while instances run",
    ),
  },
  args: [0, 0],
  examples: [
    ["gantry daemon", "Run the engine here"],
    ["gantry daemon --stop", "End it; instances go on"],
    ["gantry daemon --print-unit > /etc/systemd/system/gantry.service", "Make it a service"],
    ["gantry --root /srv/gantry --run /run/gantry2 daemon", "A second engine beside the first"],
  ],
  async run({ paths, runDaemon }, _args, flags) {
    if (flags["print-unit"]) await print(unit(ownCommand().join(" "), paths.root, paths.run));
    else if (flags.stop) await stopEngine(paths);
    else await runDaemon(paths, { cleanUp: flags["clean-up"] ?? false });
    return 0;
  },
});
