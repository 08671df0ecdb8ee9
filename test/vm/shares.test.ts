import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, renameSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Bed, bindMount, cgroupsOf, mountsWith, processesWith } from "./bed.ts";

// Two processes that map one file shared, as SQLite's WAL index needs: each must see the other's stores.
const mapper = `
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
static volatile int *map(const char *path) {
  int fd = open(path, O_RDWR | O_CREAT, 0644);
  if (fd < 0 || ftruncate(fd, 4096) < 0) _exit(2);
  void *at = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) _exit(3);
  return at;
}
int main(int argc, char **argv) {
  if (argc < 2) return 4;
  if (fork() == 0) {
    volatile int *words = map(argv[1]);
    for (int i = 0; i < 5000 && words[0] != 41; i++) usleep(1000);
    words[1] = words[0] + 1;
    _exit(0);
  }
  volatile int *words = map(argv[1]);
  words[0] = 41;
  int status;
  wait(&status);
  return status == 0 && words[1] == 42 ? 0 : 1;
}`;

test("host folders and files are shared both ways; killing the shim leaves nothing", async () => {
  await using bed = new Bed();
  const folder = join(bed.folder, "shared");
  const single = join(bed.folder, "single");
  const sealed = join(bed.folder, "sealed");
  mkdirSync(folder);
  mkdirSync(sealed);
  writeFileSync(join(folder, "a"), "from the host\n");
  writeFileSync(single, "one file\n");
  writeFileSync(join(sealed, "s"), "sealed\n");
  writeFileSync(join(bed.folder, "mapper.c"), mapper);
  execFileSync("gcc", ["-O1", "-static", "-o", join(folder, "mapper"), join(bed.folder, "mapper.c")]);

  const made = bed.record(["sleep", "1000"], {
    mounts: [
      bindMount(folder, "/data"),
      bindMount(sealed, "/sealed", true),
      bindMount(single, "/etc/single"),
      bindMount(single, "/etc/frozen", true),
    ],
  });
  const running = await bed.start(made);
  const shell = async (command: string) => (await running.shell(command)).output;

  expect(await shell("cat /data/a /sealed/s /etc/single")).toBe("from the host\nsealed\none file\n");
  expect(await shell("echo x 2>&1 > /sealed/t; echo x 2>&1 > /etc/frozen")).toMatch(
    /Read-only.*\n.*Read-only/,
  );
  expect(await shell("mount -o remount,rw /sealed 2>&1; touch /sealed/t 2>&1")).toContain("Read-only");

  // Guest to host: content, owner, mode, at once.
  await shell(
    "echo from the guest > /data/b; chown 1234:55 /data/b; chmod 4710 /data/b; echo more >> /etc/single",
  );
  expect(readFileSync(join(folder, "b"), "utf8")).toBe("from the guest\n");
  const facts = statSync(join(folder, "b"));
  expect([facts.uid, facts.gid, facts.mode & 0o7777]).toEqual([1234, 55, 0o4710]);
  expect(readFileSync(single, "utf8")).toBe("one file\nmore\n");

  // Host to guest: an open sees new content; names and attributes are seen within a second.
  writeFileSync(join(folder, "a"), "changed, and longer\n");
  expect(await shell("cat /data/a")).toBe("changed, and longer\n");
  expect(await shell("stat -c %s /data/a; ls /data/new 2>/dev/null")).toBe("20\n");
  writeFileSync(join(folder, "a"), "short\n");
  writeFileSync(join(folder, "next"), "");
  renameSync(join(folder, "next"), join(folder, "new"));
  unlinkSync(join(folder, "b"));
  await Bun.sleep(900);
  expect(await shell("stat -c %s /data/a; ls /data/new; ls /data/b 2>/dev/null")).toBe("6\n/data/new\n");

  expect((await running.shell("/data/mapper /data/mapped")).status).toBe(0);
  expect(readFileSync(join(folder, "mapped")).readInt32LE(4)).toBe(42);
  // A guest cannot leave its share.
  expect(await shell("ls /data/.. | grep -c shared")).toBe("0\n");

  expect(processesWith(made.record.id.slice(0, 12)).length).toBeGreaterThan(1); // QEMU, virtiofsd
  process.kill(running.supervisor.pid, "SIGKILL");
  await running.supervisor.closed;
  for (let i = 0; i < 100 && processesWith(made.record.id.slice(0, 12)).length > 0; i++) await Bun.sleep(20);
  expect(processesWith(made.record.id.slice(0, 12))).toEqual([]);
  await bed.backend.close(made.sandbox);
  expect(cgroupsOf(bed.paths.tag)).toEqual([]);
  expect(mountsWith(bed.folder)).toEqual([]);
}, 120_000);
