/* The files mode on an overlay of two layers with a whiteout, with and without a writable layer. */
#include <stdarg.h>
#include <sys/xattr.h>

#include "../modes.h"
#include "oneshot.h"
#include "tape.h"

static char base[] = "/tmp/files-XXXXXX";

static int shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int shell(const char *format, ...) {
  char command[1500], whole[1600];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(command, sizeof command, format, arguments);
  va_end(arguments);
  snprintf(whole, sizeof whole, "cd %s && %s", base, command);
  return system(whole);
}

/* Runs one request: `rest` are its fields after op and layers; `tape` follows it on standard input. */
static struct oneshot request(const char *op, bool writable, const char *rest, const struct buffer *tape) {
  char upper[200] = "", *argv[] = {"files", NULL};
  if (writable) snprintf(upper, sizeof upper, "\"upper\":\"%s/upper\",\"work\":\"%s/work\",", base, base);
  struct buffer input = {0};
  char *line = xprintf("{\"op\":\"%s\",\"lower\":[\"%s/top\",\"%s/bottom\"],%s%s}\n", op, base, base, upper, rest);
  buffer_append(&input, line, strlen(line));
  if (tape) buffer_append(&input, buffer_data(tape), buffer_length(tape));
  struct oneshot done = oneshot(files_main, argv, buffer_data(&input), buffer_length(&input));
  free(line);
  buffer_free(&input);
  return done;
}

static void expect(const char *op, bool writable, const char *rest, int status, const char *out, const char *err) {
  struct oneshot done = request(op, writable, rest, NULL);
  if (!WIFEXITED(done.status) || WEXITSTATUS(done.status) != status || !strstr(done.out, out) ||
      !strstr(done.err, err))
    fprintf(stderr, "%s %s: status %x\nout %s\nerr %s\n", op, rest, done.status, done.out, done.err);
  CHECK(WIFEXITED(done.status) && WEXITSTATUS(done.status) == status);
  CHECK(strstr(done.out, out) && strstr(done.err, err));
  oneshot_free(&done);
}

static void stats(void) {
  expect("stat", false, "\"path\":\"/etc/one\"", 0, "{\"name\":\"one\",\"size\":4,\"mode\":33188,", "");
  expect("stat", false, "\"path\":\"/etc/link\"", 0, "\"linkTarget\":\"/etc/one\"", "");
  expect("stat", false, "\"path\":\"etc/../etc/three\"", 0, "\"name\":\"three\"", "");
  expect("stat", false, "\"path\":\"/etc/two\"", 1, "", "\"code\":\"not_found\"");
  /* Out of the tree there is nothing, however it is spelt. */
  expect("stat", false, "\"path\":\"/../../../../proc/self/status\"", 1, "", "not_found");
  expect("stat", false, "\"path\":\"/up/sys\"", 1, "", "not_found");
  expect("stat", false, "\"path\":\"/\"", 0, "\"name\":\"/\"", "");
}

static void reads(void) {
  struct oneshot done = request("read", true, "\"path\":\"/etc\"", NULL);
  CHECK(done.status == 0 && strncmp(done.out, "{\"stat\":{\"name\":\"etc\",", 22) == 0);
  char path[100], *tar = strchr(done.out, '\n') + 1;
  snprintf(path, sizeof path, "%s/read.tar", base);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  CHECK(write_all(fd, tar, done.out_length - (size_t)(tar - done.out)) == 0);
  close(fd);
  oneshot_free(&done);
  CHECK(shell("[ \"$(tar tf read.tar | tr '\\n' ' ')\" = 'etc/ etc/link etc/one etc/three ' ]") == 0);
  expect("read", true, "\"path\":\"/missing\"", 1, "", "not_found");
}

static void writes(void) {
  struct buffer tape = {0};
  tape_add(&tape, (struct piece){'0', "two", .content = "again", .mode = 0600});
  tape_add(&tape, (struct piece){'0', "sub/new", .content = "x"});
  tape_end(&tape);
  struct oneshot done = request("write", true, "\"path\":\"/etc\"", &tape);
  CHECK(done.status == 0 && strcmp(done.out, "{\"entries\":2,\"bytes\":6,\"droppedXattrs\":0}\n") == 0);
  oneshot_free(&done);
  CHECK(shell("grep -q again upper/etc/two && [ -f upper/etc/sub/new ] && [ -c top/etc/two ]") == 0);
  expect("stat", true, "\"path\":\"/etc/two\"", 0, "\"size\":5", "");
  /* Without a writable layer, into no folder, and where the destination is no folder. */
  done = request("write", false, "\"path\":\"/etc\"", &tape);
  CHECK(WEXITSTATUS(done.status) == 1 && strstr(done.err, "invalid"));
  oneshot_free(&done);
  done = request("write", true, "\"path\":\"/missing\"", &tape);
  CHECK(WEXITSTATUS(done.status) == 1 && strstr(done.err, "not_found"));
  oneshot_free(&done);
  buffer_free(&tape);
  tape = (struct buffer){0};
  tape_add(&tape, (struct piece){'0', "etc", .content = "a file over a folder"});
  tape_end(&tape);
  done = request("write", true, "\"path\":\"/\"", &tape);
  CHECK(WEXITSTATUS(done.status) == 1 && strstr(done.err, "conflict"));
  oneshot_free(&done);
  buffer_free(&tape);
  CHECK(shell("[ ! -e host ]") == 0);
}

static void copies(void) {
  char rest[200];
  snprintf(rest, sizeof rest, "\"path\":\"/data\",\"target\":\"%s/volume\"", base);
  expect("copy", false, rest, 0, "{\"entries\":3,\"bytes\":2,", "");
  CHECK(
      shell(
          "[ $(stat -c %%u:%%g:%%a volume) = 5:6:2750 ] && [ -f volume/d ] && [ \"$(readlink volume/l)\" = /etc ]") ==
      0);
  char path[100], value[8];
  snprintf(path, sizeof path, "%s/volume", base);
  CHECK(getxattr(path, "user.x", value, sizeof value) == 1);
  snprintf(rest, sizeof rest, "\"path\":\"/nowhere\",\"target\":\"%s/volume\"", base);
  expect("copy", false, rest, 0, "{\"entries\":0,", "");
  snprintf(rest, sizeof rest, "\"path\":\"/etc/one\",\"target\":\"%s/volume\"", base);
  expect("copy", false, rest, 0, "{\"entries\":0,", "");
  snprintf(rest, sizeof rest, "\"path\":\"/data\",\"target\":\"%s/none\"", base);
  expect("copy", false, rest, 1, "", "none");
  CHECK(shell("[ -f volume/d ] && [ $(ls -A volume | wc -l) = 2 ]") == 0);
}

static void images(void) {
  char rest[300];
  for (int i = 1; i <= 2; i++) {
    snprintf(rest, sizeof rest, "\"uuid\":\"01234567-89ab-cdef-0123-456789abcdef\",\"output\":\"%s/image%d\"", base,
             i);
    expect("erofs", false, rest, 0, "{\"bytes\":", "");
    if (i == 1) sleep(1);
  }
  CHECK(shell("cmp image1 image2") == 0);
  CHECK(shell("fsck.erofs --extract=out image1 >/dev/null 2>&1 && [ ! -e out/etc/two ] && [ ! -e out/ghost ] &&"
              "grep -q three out/etc/three && [ $(stat -c %%Y out/etc/three) = 981158400 ] &&"
              "[ $(stat -c %%u:%%g:%%a out/data) = 5:6:2750 ] && [ \"$(readlink out/data/l)\" = /etc ]") == 0);
  snprintf(rest, sizeof rest, "\"uuid\":\"; reboot\",\"output\":\"%s/image3\"", base);
  expect("erofs", false, rest, 1, "", "UUID");
}

static void bad_requests(void) {
  char *argv[] = {"files", NULL};
  const char *bad[] = {"",
                       "{",
                       "[]\n",
                       "{\"op\":\"stat\"}\n",
                       "{\"op\":\"reboot\",\"lower\":[\"/\"]}\n",
                       "{\"op\":\"stat\",\"lower\":[],\"path\":\"/\"}\n",
                       "{\"op\":\"stat\",\"lower\":[7],\"path\":\"/\"}\n"};
  for (size_t i = 0; i < countof(bad); i++) {
    struct oneshot done = oneshot(files_main, argv, bad[i], strlen(bad[i]));
    CHECK(WIFEXITED(done.status) && WEXITSTATUS(done.status) == 1 && *done.out == '\0' && *done.err == '{');
    oneshot_free(&done);
  }
}

int main(void) {
#ifdef __SANITIZE_ADDRESS__
  return 0; /* the sanitizer needs more memory and system calls than confinement leaves */
#endif
  CHECK(mkdtemp(base) != NULL);
  CHECK(
      shell(
          "mkdir -p bottom/etc bottom/data top/etc top/ghosts upper work volume && echo one >bottom/etc/one &&"
          "echo two >bottom/etc/two && ln -s /etc/one bottom/etc/link && ln -s ../../../.. bottom/up && echo d "
          ">bottom/data/d &&"
          "ln -s /etc bottom/data/l && chown 5:6 bottom/data && chmod 2750 bottom/data && mknod top/etc/two c 0 0 &&"
          "mknod top/ghosts/ghost c 0 0 && echo three >top/etc/three && touch -d '2001-02-03 UTC' top/etc/three") ==
      0);
  char path[100];
  snprintf(path, sizeof path, "%s/bottom/data", base);
  CHECK(setxattr(path, "user.x", "y", 1, 0) == 0);
  stats();
  reads();
  writes();
  copies();
  images();
  bad_requests();
  char *mounts_left = read_path("/proc/self/mountinfo", 1 << 20, NULL, NULL);
  CHECK(mounts_left && !strstr(mounts_left, base) && !strstr(mounts_left, " /sys/tree "));
  free(mounts_left);
  return shell("rm -rf %s", base) == 0 ? 0 : 1;
}
