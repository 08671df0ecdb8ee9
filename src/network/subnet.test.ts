import { expect, test } from "bun:test";
import {
  candidates,
  checkSubnet,
  formatAddress,
  formatSubnet,
  gatewayOf,
  macOf,
  overlaps,
  parseAddress,
  parseSubnet,
  pickSubnet,
  subnetOf,
} from "./subnet.ts";

const net = (text: string) => parseSubnet(text)!;

test("addresses are read and written the same", () => {
  for (const text of ["0.0.0.0", "10.210.0.1", "192.168.255.254", "255.255.255.255"])
    expect(formatAddress(parseAddress(text)!)).toBe(text);
});

for (const text of [
  "",
  "1.2.3",
  "1.2.3.4.5",
  "1.2.3.256",
  "01.2.3.4",
  "1.2.3.4 ",
  "a.b.c.d",
  "::1",
  "1.2.3.-4",
  "0x1.2.3.4",
])
  test(`${JSON.stringify(text)} is no address`, () => expect(parseAddress(text)).toBeUndefined());

for (const text of ["10.0.0.0", "10.0.0.0/33", "10.0.0.1/16", "10.0.0.0/", "10.0.0.0/16/1", "10.0.0.0/-1"])
  test(`${JSON.stringify(text)} is no network`, () => expect(parseSubnet(text)).toBeUndefined());

test("networks overlap when one holds the other", () => {
  expect(overlaps(net("10.0.0.0/8"), net("10.9.0.0/16"))).toBe(true);
  expect(overlaps(net("10.9.0.0/16"), net("10.0.0.0/8"))).toBe(true);
  expect(overlaps(net("10.8.0.0/16"), net("10.9.0.0/16"))).toBe(false);
  expect(overlaps(net("0.0.0.0/0"), net("255.0.0.0/8"))).toBe(true);
});

test("the first free candidate is taken, and none left is said", () => {
  expect(pickSubnet([])).toEqual(candidates[0]!);
  expect(pickSubnet([net("10.210.7.0/24"), net("10.211.0.5/32")])).toEqual(net("10.212.0.0/16"));
  expect(() => pickSubnet([net("0.0.0.0/0")])).toThrow(expect.objectContaining({ code: "exhausted" }));
});

test("what the user names must be usable", () => {
  expect(formatSubnet(checkSubnet("192.168.7.0/24"))).toBe("192.168.7.0/24");
  for (const bad of ["10.0.0.0/30", "0.0.0.0/8", "224.0.0.0/8", "10.0.0.0/7", "nonsense"])
    expect(() => checkSubnet(bad)).toThrow(expect.objectContaining({ code: "invalid" }));
});

test("gateway, MAC and the way back", () => {
  expect(gatewayOf(net("10.210.0.0/16"))).toBe("10.210.0.1");
  expect(macOf("10.210.0.255")).toBe("02:42:0a:d2:00:ff");
  expect(subnetOf({ gateway: "10.210.0.1", prefix: 16 })).toBe("10.210.0.0/16");
  expect(subnetOf({})).toBeUndefined();
});
