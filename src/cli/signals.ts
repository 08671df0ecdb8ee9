import { constants } from "node:os";

/** Signals that a foreground command passes on. SIGKILL and SIGSTOP cannot be caught; SIGCHLD and SIGWINCH are ours. */
const passed = [
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGTERM",
  "SIGUSR1",
  "SIGUSR2",
  "SIGALRM",
  "SIGCONT",
] as const satisfies NodeJS.Signals[];

/** Calls `pass` for each signal that we get, until disposed of. */
export function catchSignals(pass: (name: NodeJS.Signals, number: number) => void): Disposable {
  const listeners = passed.map((name) => {
    const listener = () => pass(name, constants.signals[name]);
    process.on(name, listener);
    return { name, listener };
  });
  return {
    [Symbol.dispose]() {
      for (const { name, listener } of listeners) process.removeListener(name, listener);
    },
  };
}
