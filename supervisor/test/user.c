/* User look-ups as Docker reads them, and folders made in a root file system that tries to lead outside. */
#include "user.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "check.h"
#include "util.h"

static char folder[] = "/tmp/gantry-user-XXXXXX";
static int root;

static void put(const char *name, const char *text) {
  int fd = openat(root, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  CHECK(fd >= 0 && write_all(fd, text, strlen(text)) == 0);
  close(fd);
}

/* "uid:gid:home:groups" of a look-up, or the error's code. */
static char *look(const char *text) {
  struct user user;
  struct error error = {0};
  if (user_lookup(root, text, &user, &error) < 0) return xstrdup(error.code);
  char groups[256] = "";
  for (size_t i = 0; i < user.group_count; i++)
    snprintf(groups + strlen(groups), sizeof groups - strlen(groups), "%s%u", i ? "," : "", user.groups[i]);
  char *result = xprintf("%u:%u:%s:%s", user.uid, user.gid, user.home, groups);
  user_free(&user);
  return result;
}

static void expect(const char *text, const char *want) {
  cleanup_free char *got = look(text);
  if (strcmp(got, want) != 0) fprintf(stderr, "%s gives %s, not %s\n", text, got, want);
  CHECK(strcmp(got, want) == 0);
}

static void names_and_numbers(void) {
  put("etc/passwd",
      "# comment\nbroken\nroot:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n"
      "bad:x:99999999999:1::/:/bin/sh\nrel:x:7:8::relative:/bin/sh\nnohome:x:9:9\n1234:x:55:66::/n:\n");
  put("etc/group", "root:x:0:\nalice:x:1000:\nstaff:x:50:bob,alice\nwheel:x:10:alice\nodd:x:z:alice\n44:x:4444:\n");
  expect("", "0:0:/root:0");
  expect("root", "0:0:/root:0");
  expect("alice", "1000:1000:/home/alice:1000,50,10");
  expect("1000", "1000:1000:/home/alice:1000,50,10");
  expect("alice:staff", "1000:50:/home/alice:50");
  expect("alice:", "1000:1000:/home/alice:1000,50,10");
  expect(":staff", "0:50:/root:50");
  expect("4321", "4321:0:/:0");
  expect("4321:99", "4321:99:/:99");
  expect("1234", "55:66:/n:66");         /* a name of digits wins, as it is found first */
  expect("root:44", "0:4444:/root:4444"); /* for groups too */
  expect("rel", "7:8:/:8");
  expect("nohome", "9:9:/:9");
  expect("bad", "invalid");
  expect("nosuch", "invalid");
  expect("alice:nosuch", "invalid");
  expect("2147483647", "2147483647:0:/:0");
  expect("2147483648", "invalid");
  expect("-1", "invalid");
  expect("0x10", "invalid");
}

static void hostile_files(void) {
  /* The link is meant inside the root, where there is no such file: nothing of the host is read. */
  unlinkat(root, "etc/passwd", 0);
  CHECK(symlinkat("/etc/passwd", root, "etc/passwd") == 0);
  expect("root", "invalid");
  expect("0", "0:0:/:0");
  unlinkat(root, "etc/passwd", 0);
  CHECK(symlinkat("../../../../etc/real", root, "etc/passwd") == 0);
  put("etc/real", "in:x:1:2::/in:\n");
  expect("in", "1:2:/in:2");
  unlinkat(root, "etc/passwd", 0);
  CHECK(mkfifoat(root, "etc/passwd", 0644) == 0);
  expect("root", "invalid"); /* and does not hang */
  unlinkat(root, "etc/passwd", 0);
  CHECK(mkdirat(root, "etc/passwd", 0755) == 0);
  expect("root", "invalid");
  unlinkat(root, "etc/passwd", AT_REMOVEDIR);
  int fd = openat(root, "etc/passwd", O_WRONLY | O_CREAT, 0644);
  CHECK(ftruncate(fd, 1 << 30) == 0);
  close(fd);
  expect("root", "invalid");
  unlinkat(root, "etc/passwd", 0);
}

/* A device in the place of a file is not even opened. */
static void devices(void) {
  if (geteuid() != 0) return;
  CHECK(unlinkat(root, "etc/passwd", 0) == 0 || errno == ENOENT);
  CHECK(mknodat(root, "etc/passwd", S_IFCHR | 0666, makedev(1, 3)) == 0);
  cleanup_free char *path = xprintf("%s/etc/passwd", folder);
  cleanup_fd int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  CHECK(watch >= 0 && inotify_add_watch(watch, path, IN_OPEN) >= 0);
  expect("root", "invalid");
  expect("5", "5:0:/:0");
  char event[512];
  CHECK(read(watch, event, sizeof event) < 0 && errno == EAGAIN);
  close(open(path, O_RDONLY)); /* the watch does see it */
  CHECK(read(watch, event, sizeof event) > 0);
  CHECK(unlinkat(root, "etc/passwd", 0) == 0);
}

static void folders(void) {
  struct error error = {0};
  struct stat made;
  int fd = rootfs_make_folder(root, "/a/b//c/", &error);
  CHECK(fd >= 0 && fstatat(root, "a/b/c", &made, 0) == 0 && S_ISDIR(made.st_mode));
  close(fd);
  CHECK((fd = rootfs_make_folder(root, "/", &error)) >= 0);
  close(fd);
  /* A link that leads outside leads to the same path inside. */
  CHECK(mkdirat(root, "tmp", 0755) == 0 && symlinkat("/tmp", root, "out") == 0);
  cleanup_free char *name = xprintf("/out/gantry-%d/x", getpid());
  fd = rootfs_make_folder(root, name, &error);
  CHECK(fd >= 0);
  close(fd);
  cleanup_free char *outside = xprintf("/tmp/gantry-%d", getpid());
  CHECK(access(outside, F_OK) < 0);
  cleanup_free char *inside = xprintf("tmp/gantry-%d/x", getpid());
  CHECK(fstatat(root, inside, &made, 0) == 0);
  fd = rootfs_make_folder(root, "/a/../../../up", &error);
  CHECK(fd >= 0 && fstatat(root, "up", &made, 0) == 0);
  close(fd);
  /* Not through files, dangling links or loops. */
  put("file", "");
  CHECK(symlinkat("/nowhere", root, "dangling") == 0 && symlinkat("loop", root, "loop") == 0);
  CHECK(rootfs_make_folder(root, "/file/x", &error) < 0);
  CHECK(rootfs_make_folder(root, "/dangling/x", &error) < 0 && strcmp(error.code, "not_found") == 0);
  CHECK(rootfs_make_folder(root, "/loop/x", &error) < 0);
}

int main(void) {
  CHECK(mkdtemp(folder));
  root = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
  CHECK(root >= 0 && mkdirat(root, "etc", 0755) == 0);
  names_and_numbers();
  hostile_files();
  devices();
  folders();
  cleanup_free char *command = xprintf("rm -rf %s", folder);
  return system(command) == 0 ? 0 : 1;
}
