import { expect } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { eventually } from "../lib/engine.ts";
import { type Case, fresh, image } from "./case.ts";

/** Binds, volumes and cp. */
export const files: Case[] = [
  {
    name: "-v of a folder: both ways within a second, owners and modes kept, ro holds",
    async run({ folder, up, ok }) {
      const shared = join(folder, "shared");
      mkdirSync(shared);
      writeFileSync(join(shared, "host"), "from host\n");
      chownSync(join(shared, "host"), 1234, 567);
      chmodSync(join(shared, "host"), 0o640);
      const id = await up("-v", `${shared}:/rw`, "-v", `${shared}:/ro:ro`, image, "sleep", "300");
      expect(await ok("exec", id, "sh", "-c", "cat /rw/host; stat -c '%u %g %a' /ro/host")).toBe(
        "from host\n1234 567 640",
      );
      await ok(
        "exec",
        id,
        "sh",
        "-c",
        "echo inside > /rw/guest; chown 42:43 /rw/guest; chmod 604 /rw/guest; touch /ro/no 2>/dev/null || true",
      );
      expect(readFileSync(join(shared, "guest"), "utf8")).toBe("inside\n");
      expect(statSync(join(shared, "guest"))).toMatchObject({ uid: 42, gid: 43 });
      expect(statSync(join(shared, "guest")).mode & 0o777).toBe(0o604);
      expect(existsSync(join(shared, "no"))).toBe(false);
      writeFileSync(join(shared, "host"), "changed content\n");
      await eventually(
        "the change",
        async () => (await ok("exec", id, "cat", "/rw/host")) === "changed content",
        1500,
      );
      writeFileSync(join(shared, "new"), "x");
      await eventually("the new file", async () => (await ok("exec", id, "ls", "/rw")).includes("new"), 1500);
    },
  },
  {
    name: "-v of a single file, and of a folder that is not there yet",
    async run({ folder, ok, run }) {
      const file = join(folder, "conf");
      writeFileSync(file, "setting\n");
      writeFileSync(join(folder, "secret"), "beside\n");
      const made = join(folder, "made");
      const { stdout } = await run(
        "-v",
        `${file}:/etc/conf:ro`,
        "-v",
        `${file}:/etc/conf2`,
        "-v",
        `${made}:/made`,
        image,
        "sh",
        "-c",
        "cat /etc/conf; echo no > /etc/conf 2>/dev/null || echo ro; echo changed > /etc/conf2; echo x > /made/x; ls -A /etc | grep -c secret",
      );
      expect(stdout).toBe("setting\nro\n0\n");
      expect(readFileSync(file, "utf8")).toBe("changed\n");
      expect(readFileSync(join(made, "x"), "utf8")).toBe("x\n");
      await ok("ps");
    },
  },
  {
    name: "several processes append to one file of a bind and lose nothing",
    async run({ folder, run }) {
      await run(
        ...["-v", `${folder}:/db`, image, "sh", "-c"],
        "for p in 1 2 3; do (for i in 1 2 3 4 5 6 7 8 9 10; do echo $p-$i >> /db/n; done) & done; wait",
      );
      const lines = readFileSync(join(folder, "n"), "utf8").trim().split("\n");
      expect(new Set(lines).size).toBe(30);
    },
  },
  {
    name: "named volumes: kept, shared by several at once, filled from the image once",
    async run({ ok, up, g, flags }) {
      const volume = fresh("vol");
      await ok("volume", "create", volume);
      const one = await up("-v", `${volume}:/data`, image, "sleep", "300");
      const two = await up("-v", `${volume}:/data`, image, "sleep", "300");
      await ok("exec", one, "sh", "-c", "echo shared > /data/f");
      await eventually(
        "the other's view",
        async () => (await g("exec", two, "cat", "/data/f")).stdout === "shared\n",
        3000,
      );
      const used = await g("volume", "rm", volume);
      expect(used.status).toBe(1);
      expect(used.stderr).toContain(volume);
      await ok("rm", "-f", one, two);
      expect(await ok("run", "--rm", ...flags, "-v", `${volume}:/data`, image, "cat", "/data/f")).toBe(
        "shared",
      );
      await ok("volume", "rm", volume);
      const filled = fresh("vol");
      expect(
        await ok(
          "run",
          "--rm",
          ...flags,
          "-v",
          `${filled}:/etc`,
          image,
          "sh",
          "-c",
          "test -f /etc/passwd && echo filled",
        ),
      ).toBe("filled");
      expect(await ok("volume", "ls", "-q")).toBe(filled);
      expect(JSON.parse(await ok("volume", "inspect", filled))[0].Name).toBe(filled);
      await ok("volume", "rm", filled);
    },
  },
  {
    name: "volume prune takes what nobody uses",
    async run({ ok, up }) {
      const [used, idle] = [fresh("used"), fresh("idle")];
      await ok("volume", "create", idle);
      const id = await up("-v", `${used}:/data`, image, "sleep", "300");
      await ok("volume", "prune", "-f", "-a");
      expect(await ok("volume", "ls", "-q")).toBe(used);
      await ok("rm", "-f", id);
      await ok("volume", "rm", used);
    },
  },
  {
    name: "cp both ways on a running instance: files, folders, modes, links, -",
    async run({ folder, up, ok, g, gWith }) {
      const id = await up(image, "sleep", "300");
      const tree = join(folder, "tree");
      mkdirSync(join(tree, "sub"), { recursive: true });
      writeFileSync(join(tree, "sub", "file"), "content\n");
      chmodSync(join(tree, "sub", "file"), 0o751);
      symlinkSync("sub/file", join(tree, "link"));
      await ok("cp", tree, `${id}:/tmp/`);
      expect(
        await ok(
          "exec",
          id,
          "sh",
          "-c",
          "cat /tmp/tree/sub/file; stat -c %a /tmp/tree/sub/file; readlink /tmp/tree/link",
        ),
      ).toBe("content\n751\nsub/file");
      await ok("cp", join(tree, "sub", "file"), `${id}:/etc/renamed`);
      expect(await ok("exec", id, "cat", "/etc/renamed")).toBe("content");
      await ok("exec", id, "sh", "-c", "mkdir -p /out/d; echo o > /out/d/f; ln -s d/f /out/l");
      await ok("cp", `${id}:/out`, join(folder, "back"));
      expect(readFileSync(join(folder, "back", "d", "f"), "utf8")).toBe("o\n");
      await ok("cp", `${id}:/out/.`, join(folder, "back"));
      const tar = await gWith({}, "cp", `${id}:/out`, "-");
      expect(Bun.spawnSync(["tar", "-tf", "-"], { stdin: tar.bytes }).stdout.toString()).toContain("out/d/f");
      const missing = await g("cp", `${id}:/no/such`, folder);
      expect(missing.status).toBe(1);
      expect(missing.stderr).toContain("/no/such");
    },
  },
  {
    name: "cp and start on a stopped instance",
    async run({ folder, up, ok }) {
      const id = await up(image, "sh", "-c", "cat /etc/greeting 2>/dev/null || echo none; echo mine > /left");
      await ok("wait", id);
      writeFileSync(join(folder, "greeting"), "hello\n");
      await ok("cp", join(folder, "greeting"), `${id}:/etc/greeting`);
      await ok("cp", `${id}:/left`, join(folder, "left"));
      expect(readFileSync(join(folder, "left"), "utf8")).toBe("mine\n");
      await ok("start", id);
      await ok("wait", id);
      expect(await ok("logs", id)).toBe("none\nhello");
    },
  },
  {
    name: "cp does not follow a symlink out of the instance",
    async run({ up, ok, g, folder }) {
      const id = await up(
        image,
        "sh",
        "-c",
        "ln -s / /tmp/root; ln -s /etc/shadow-of-host /tmp/s; sleep 300",
      );
      await eventually("links", async () => (await ok("exec", id, "ls", "/tmp")).includes("root"));
      const marker = `gantry-escape-${process.pid}`;
      writeFileSync(join(folder, marker), "x");
      await g("cp", join(folder, marker), `${id}:/tmp/root/`);
      expect(existsSync(`/${marker}`)).toBe(false);
      expect(await ok("exec", id, "sh", "-c", `test -e /${marker} && echo inside`)).toBe("inside");
    },
  },
];
