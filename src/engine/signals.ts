import { GantryError } from "../model/errors.ts";

/** Linux's signals by number (x86-64 and arm64). */
const names = [
  "",
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGILL",
  "SIGTRAP",
  "SIGABRT",
  "SIGBUS",
  "SIGFPE",
  "SIGKILL",
  "SIGUSR1",
  "SIGSEGV",
  "SIGUSR2",
  "SIGPIPE",
  "SIGALRM",
  "SIGTERM",
  "SIGSTKFLT",
  "SIGCHLD",
  "SIGCONT",
  "SIGSTOP",
  "SIGTSTP",
  "SIGTTIN",
  "SIGTTOU",
  "SIGURG",
  "SIGXCPU",
  "SIGXFSZ",
  "SIGVTALRM",
  "SIGPROF",
  "SIGWINCH",
  "SIGIO",
  "SIGPWR",
  "SIGSYS",
];
const aliases: Record<string, number> = { SIGIOT: 6, SIGPOLL: 29, SIGCLD: 17, SIGUNUSED: 31 };
const last = 64;
const realtimeFirst = 34;

/** Number of a signal given by name (with or without SIG, RTMIN+n and RTMAX-n too) or number. Throws `invalid`. */
export function signalNumber(signal: string): number {
  if (/^\d{1,2}$/.test(signal)) {
    const number = Number(signal);
    if (number >= 1 && number <= last) return number;
  }
  const upper = signal.toUpperCase();
  const name = upper.startsWith("SIG") ? upper : `SIG${upper}`;
  const index = names.indexOf(name);
  if (index > 0) return index;
  if (aliases[name] !== undefined) return aliases[name];
  const realtime = /^SIGRT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name);
  if (realtime) {
    const offset = Number(realtime[3] ?? 0) * (realtime[2] === "-" ? -1 : 1);
    const number = (realtime[1] === "MIN" ? realtimeFirst : last) + offset;
    if (number >= realtimeFirst && number <= last) return number;
  }
  throw new GantryError(
    "invalid",
    `${JSON.stringify(signal.slice(0, 64))} is no signal: give a name such as SIGTERM or a number from 1 to ${last}`,
  );
}

/** The signal by its usual name (`SIGTERM`, or `SIGRTMIN+3`). Throws `invalid`. */
export function signalName(signal: string): string {
  const number = signalNumber(signal);
  return names[number] || `SIGRTMIN+${number - realtimeFirst}`;
}
