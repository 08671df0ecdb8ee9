import { expect, test } from "bun:test";
import { AddressPool } from "./addresses.ts";
import { parseSubnet } from "./subnet.ts";

const pool = (text: string) => new AddressPool(parseSubnet(text)!);

test("network, gateway and broadcast are never given", () => {
  const small = pool("10.0.0.0/29");
  const given = Array.from({ length: 5 }, () => small.allocate());
  expect(given).toEqual(["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
  expect(() => small.allocate()).toThrow(expect.objectContaining({ code: "exhausted" }));
  for (const reserved of ["10.0.0.0", "10.0.0.1", "10.0.0.7"]) {
    small.release(reserved);
    expect(small.take(reserved)).toBe(false);
  }
});

test("a wanted address is given when it is free and within the network", () => {
  const wide = pool("10.0.0.0/16");
  expect(wide.allocate("10.0.9.9")).toBe("10.0.9.9");
  expect(wide.allocate("10.0.9.9")).toBe("10.0.0.2");
  expect(wide.allocate("10.1.0.5")).toBe("10.0.0.3");
  expect(wide.allocate("nonsense")).toBe("10.0.0.4");
  wide.release("10.0.9.9");
  expect(wide.allocate("10.0.9.9")).toBe("10.0.9.9");
});

test("an address rests until the others had their turn", () => {
  const small = pool("10.0.0.0/29");
  const first = small.allocate();
  small.release(first);
  const next = Array.from({ length: 5 }, () => small.allocate());
  expect(next.at(-1)).toBe(first);
});

test("a whole /16 is given without repeating", () => {
  const wide = pool("10.0.0.0/16");
  const all = new Set<string>();
  for (let n = 0; n < 65_533; n++) all.add(wide.allocate());
  expect(all.size).toBe(65_533);
  expect(() => wide.allocate()).toThrow();
});
