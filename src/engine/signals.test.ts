import { expect, test } from "bun:test";
import { constants } from "node:os";
import { signalName, signalNumber } from "./signals.ts";

test("names and numbers agree with the system's", () => {
  for (const [name, number] of Object.entries(constants.signals)) expect(signalNumber(name)).toBe(number);
});

test("takes names without SIG, any case, numbers and real-time signals", () => {
  expect(signalNumber("term")).toBe(15);
  expect(signalNumber("9")).toBe(9);
  expect(signalNumber("SIGRTMIN+3")).toBe(37);
  expect(signalNumber("rtmax")).toBe(64);
  expect(signalName("RTMIN+3")).toBe("SIGRTMIN+3");
  expect(signalName("15")).toBe("SIGTERM");
});

test("refuses what is no signal", () => {
  for (const bad of ["", "0", "65", "-1", "SIGFOO", "SIGRTMIN-1", "RTMAX+1", "9x", "SIG"])
    expect(() => signalNumber(bad)).toThrow("no signal");
});
