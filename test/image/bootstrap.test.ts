import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { createImages } from "../../src/image/index.ts";
import { refusal, supervisors, temporary, tool } from "../../src/image/testing.ts";

test("bootstrap of Debian with a package more; an unknown package leaves nothing", async () => {
  using root = temporary();
  const images = createImages({ paths: { root: root.path }, supervisors, usage: () => new Map() });
  const bad = await refusal(
    images.bootstrap("default", { distribution: "debian", include: ["no-such-package-here"] }),
  );
  expect(bad.code).toBe("not_found");
  expect(bad.message).toContain("no-such-package-here");
  expect(await images.list("default")).toEqual([]);
  expect(readdirSync(join(root.path, "images/.staging"))).toEqual([]);

  const steps: string[] = [];
  const image = await images.bootstrap(
    "default",
    { distribution: "debian:bookworm", include: ["hostname"], name: "mine:1" },
    ({ step }) => steps.push(step),
  );
  expect(image.name).toBe("localhost/mine:1");
  expect(image.config.config?.Cmd).toEqual(["bash"]);
  expect(steps.length).toBeGreaterThan(4);
  const tree = (await (await images.resolve("default", "mine:1")).layers())[0] as string;
  const script =
    ". /etc/os-release; echo $VERSION_CODENAME; dpkg -s hostname | grep ^Status; ls /dev /var/lib/apt/lists /var/cache/apt; ls /etc/hostname /etc/resolv.conf; cat /etc/apt/apt.conf.d/99mmdebstrap";
  const said = tool("chroot", tree, "bash", "-c", `{ ${script}; } 2>&1 || true`).toString();
  expect(said).toContain(
    "bookworm\nStatus: install ok installed\n/dev:\n\n/var/cache/apt:\n\n/var/lib/apt/lists:\n",
  );
  expect(said.match(/No such file/g)?.length).toBe(3);
  expect(readdirSync(join(root.path, "images/.staging"))).toEqual([]);
}, 240_000);
