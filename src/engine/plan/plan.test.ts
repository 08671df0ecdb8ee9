import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { InstanceConfig } from "../../model/instance.ts";
import type { ImageConfig } from "../../model/oci.ts";
import type { Attachment } from "../../ports/network.ts";
import { testConfig, testImage } from "./plan.fixture.ts";
import { complete, plan } from "./plan.ts";
import { rules } from "./rules.ts";
import { defaultSeccomp } from "./seccomp-default.ts";

const id = "0123456789abcdef".repeat(4);
const facts = { swapLimit: true, cpus: 8 };
const attachment: Attachment = {
  sandboxId: id,
  mode: "nat",
  end: "netns",
  netns: "/run/netns",
  address: "10.9.0.7",
  prefix: 16,
  gateway: "10.9.0.1",
  ports: [],
};

const whole = (config: InstanceConfig, image: ImageConfig, volumes: Record<string, string>) => {
  const planned = plan({ id, project: "default", sandboxId: id, config }, image, facts);
  return { planned, completed: complete(planned, new Map(Object.entries(volumes)), attachment) };
};

const cases: Record<string, () => ReturnType<typeof whole>> = {
  least: () => whole(testConfig({ command: ["true"] }), testImage({}), {}),
  everything: () =>
    whole(
      testConfig({
        entrypoint: ["/init", "--"],
        command: ["serve", "now"],
        env: ["A=user", "EMPTY="],
        workdir: "/work",
        user: "app:staff",
        hostname: "web.example",
        tty: true,
        openStdin: true,
        labels: { tier: "front" },
        mounts: [
          { type: "bind", source: "/srv/data", target: "/data", readOnly: true, createSource: false },
          { type: "bind", source: "/srv/hosts", target: "/etc/hosts", readOnly: false, createSource: false },
          { type: "volume", source: "cache", target: "/data/cache", readOnly: false, noCopy: false },
          { type: "tmpfs", target: "/tmp", options: ["exec"], size: 1 << 20, mode: 0o1777 },
        ],
        readOnlyRootfs: true,
        ports: [{ hostIp: "127.0.0.1", hostPort: 8080, containerPort: 80, protocol: "tcp" }],
        limits: { cpus: 2.5, memory: 256 << 20, pids: 100 },
        stopSignal: "QUIT",
        capAdd: ["NET_ADMIN"],
        capDrop: ["CHOWN", "MKNOD"],
        noNewPrivileges: true,
      }),
      testImage({ Env: ["PATH=/opt/bin", "A=image"], Volumes: { "/var/lib/app": {} }, User: "nobody" }),
      { "/data/cache": "/volumes/cache", "/var/lib/app": "/volumes/anonymous" },
    ),
};

for (const [name, make] of Object.entries(cases))
  test(`plan of ${name} is as it was (GANTRY_UPDATE_GOLDEN=1 writes it anew)`, () => {
    const { planned, completed } = make();
    const { seccomp, ...linux } = completed.oci.linux;
    expect(seccomp).toEqual(defaultSeccomp(completed.oci.process.capabilities.bounding));
    const { effective, network, binds, volumes } = planned;
    const shown = { effective, network, binds, volumes, ...completed, oci: { ...completed.oci, linux } };
    const path = join(import.meta.dir, `plan.golden.${name}.json`);
    if (process.env.GANTRY_UPDATE_GOLDEN) writeFileSync(path, `${JSON.stringify(shown, null, 2)}\n`);
    expect(JSON.parse(JSON.stringify(shown))).toEqual(JSON.parse(readFileSync(path, "utf8")));
  });

test("both walls are given the same specification", () => {
  const one = (isolation: InstanceConfig["isolation"]) =>
    whole(testConfig({ command: ["true"], isolation }), testImage({}), {});
  expect(one("vm").completed.oci).toEqual(one("container").completed.oci);
  expect(one("vm").planned.network).toEqual({ ...one("container").planned.network, end: "tap" });
});

test("a rule changes nothing that it was given", () => {
  const config = testConfig({ command: ["true"] });
  const frozen = (value: unknown): unknown => {
    if (typeof value === "object" && value !== null) Object.values(Object.freeze(value)).forEach(frozen);
    return value;
  };
  const { effective, oci } = whole(config, testImage({}), {}).planned;
  frozen(oci);
  frozen(effective);
  for (const rule of rules) expect(() => rule(oci, { config, effective, resources: {} })).not.toThrow();
});

test("a volume that was not resolved is an error, never an empty folder", () => {
  const config = testConfig({ command: ["true"] });
  expect(() => whole(config, testImage({ Volumes: { "/v": {} } }), {})).toThrow("/v");
});
