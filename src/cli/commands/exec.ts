import { bool, command, list, UsageError, value } from "../command.ts";
import { parseDetachKeys } from "../detach-keys.ts";
import { defaultDetachKeys, explainEnd, foreground } from "../foreground.ts";
import { catchSignals } from "../signals.ts";
import { stdioSink } from "../stdio.ts";
import { requireTerminal } from "../terminal.ts";
import { parseEnv } from "../values/env.ts";

export default command({
  usage: "[flags] INSTANCE COMMAND [ARG...]",
  about:
    "Runs a process in a running instance; in a VM it runs inside the guest.\n" +
    "The exit status is the command's own; 126 when it cannot be run, 127 when it is not found.",
  flags: {
    detach: bool("Run in the background", { short: "d" }),
    interactive: bool("Send our standard input", { short: "i" }),
    tty: bool("Give it a terminal", { short: "t" }),
    env: list("KEY=VALUE", "Set a variable; KEY alone takes it from here", { short: "e" }),
    "env-file": list("FILE", "Read variables from a file", { completes: "file" }),
    workdir: value("FOLDER", "Working folder", { short: "w" }),
    user: value("USER[:GROUP]", "User, by name or number", { short: "u" }),
    "detach-keys": value("KEYS", "Keys that detach, default ctrl-p,ctrl-q"),
  },
  later: { privileged: "", "preserve-fds": "", latest: "", l: "", cidfile: "" },
  args: [2, Number.POSITIVE_INFINITY],
  stopAtPositional: true,
  examples: [
    ["gantry exec web ls -l /srv", "List a folder inside"],
    ["gantry exec -it web sh", "A shell inside"],
    ["gantry exec -i db psql < dump.sql", "Send a file to a program inside"],
  ],
  async run({ api }, [reference, ...args], flags) {
    const detachKeys = parseDetachKeys(flags["detach-keys"] ?? defaultDetachKeys);
    const stdin = (flags.interactive ?? false) && !flags.detach;
    const tty = flags.tty ?? false;
    if (tty && stdin) requireTerminal();
    if (args[0] === "") throw new UsageError("the command is empty");
    const exec = await api.createExec(reference!, args, {
      env: parseEnv(flags["env-file"], flags.env),
      workdir: flags.workdir,
      user: flags.user,
      tty,
      openStdin: stdin,
    });
    const session = await api.startExec(exec.id, stdioSink);
    if (flags.detach) {
      session.detach();
      return 0;
    }
    using _signals = catchSignals((_name, number) => session.signal(number));
    const end = await foreground(session, { tty, stdin, detachKeys });
    if (end.kind === "exit") return end.exitCode;
    if (end.kind === "detached") return 0;
    explainEnd(end, reference!);
    return 1;
  },
});
