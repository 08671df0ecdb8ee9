import type { WorkProgress } from "../client/types.ts";
import { showSize } from "./human.ts";
import { plainLine } from "./plain.ts";
import { complain } from "./stdio.ts";

const interval = 100;

/** Shows the steps of long work on one line of a terminal's standard error; says nothing elsewhere. */
export function showProgress(quiet = false): { report: WorkProgress } & Disposable {
  if (quiet || !process.stderr.isTTY) return { report() {}, [Symbol.dispose]() {} };
  let shown = 0;
  let step = "";
  const clear = "\r\x1b[K";
  return {
    report(event) {
      const now = Date.now();
      if (event.step === step && now - shown < interval) return;
      step = event.step;
      shown = now;
      const amount =
        event.done === undefined
          ? ""
          : event.total
            ? ` ${Math.min(100, Math.floor((event.done / event.total) * 100))}% of ${showSize(event.total)}`
            : ` ${showSize(event.done)}`;
      const width = Math.max(20, (process.stderr.columns || 80) - 1);
      complain(Buffer.from(clear));
      complain(plainLine(`${step}${amount}`).slice(0, width));
    },
    [Symbol.dispose]() {
      if (shown > 0) complain(Buffer.from(clear));
    },
  };
}
