/* Trees go through GNU tar and our own archive code, both ways, and come out the same. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../archive.h"
#include "../util.h"
#include "check.h"

static char base[] = "/tmp/archive-roundtrip-XXXXXX";

static int shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int shell(const char *format, ...) {
  char command[1024], whole[1100];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(command, sizeof command, format, arguments);
  va_end(arguments);
  snprintf(whole, sizeof whole, "cd %s && %s", base, command);
  return system(whole);
}

static char *lines[1000];
static size_t line_count, prefix;

static int describe(const char *path, const struct stat *facts, int type, struct FTW *walk) {
  (void)type;
  (void)walk;
  char target[5000] = "", names[1000] = "";
  if (S_ISLNK(facts->st_mode)) CHECK(readlink(path, target, sizeof target - 1) > 0);
  ssize_t size = llistxattr(path, names, sizeof names);
  unsigned sum = 0;
  for (ssize_t i = 0; i < size; i++)
    sum += (unsigned char)names[i]; /* in any order */
  for (const char *name = names; name < names + size; name += strlen(name) + 1) {
    unsigned char value[500];
    ssize_t length = lgetxattr(path, name, value, sizeof value);
    for (ssize_t i = 0; i < length; i++)
      sum = sum + value[i] * (unsigned)(i + 7);
  }
  if (S_ISREG(facts->st_mode)) {
    int fd = open(path, O_RDONLY);
    unsigned char content[4096];
    for (ssize_t got; (got = read(fd, content, sizeof content)) > 0;)
      for (ssize_t i = 0; i < got; i++)
        sum = sum * 31 + content[i];
    close(fd);
  }
  CHECK(line_count < countof(lines));
  lines[line_count++] = xprintf(
      "%s %o %u:%u %lld %lld.%09ld links=%u dev=%u:%u -> %s sum=%u", path + prefix, facts->st_mode, facts->st_uid,
      facts->st_gid, S_ISDIR(facts->st_mode) ? 0LL : (long long)facts->st_size, (long long)facts->st_mtim.tv_sec,
      facts->st_mtim.tv_nsec, S_ISDIR(facts->st_mode) ? 0u : (unsigned)facts->st_nlink, major(facts->st_rdev),
      minor(facts->st_rdev), target, sum);
  return 0;
}

static int compare(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static char *manifest(const char *name) {
  char path[100];
  prefix = (size_t)snprintf(path, sizeof path, "%s/%s", base, name);
  line_count = 0;
  CHECK(nftw(path, describe, 50, FTW_PHYS) == 0);
  qsort(lines, line_count, sizeof *lines, compare);
  char *all = xstrdup("");
  for (size_t i = 0; i < line_count; i++) {
    char *longer = xprintf("%s%s\n", all, lines[i]);
    free(all);
    free(lines[i]);
    all = longer;
  }
  return all;
}

static void same(const char *one, const char *other) {
  char *a = manifest(one), *b = manifest(other);
  size_t at = 0, line = 0;
  for (; a[at] && a[at] == b[at]; at++)
    if (a[at] == '\n') line = at + 1;
  if (a[at] != b[at])
    fprintf(stderr, "%s: %.*s\n%s: %.*s\n", one, (int)strcspn(a + line, "\n"), a + line, other,
            (int)strcspn(b + line, "\n"), b + line);
  CHECK(strcmp(a, b) == 0);
  free(a);
  free(b);
}

static int open_base(const char *name, int flags) {
  char path[100];
  snprintf(path, sizeof path, "%s/%s", base, name);
  int fd = open(path, flags, 0600);
  CHECK(fd >= 0);
  return fd;
}

static void make_tree(void) {
  char name[300], path[500];
  CHECK(
      shell(
          "mkdir -p tree/dir/sub tree/sticky tree/empty && cd tree && echo hello >file && : >none &&"
          "head -c 300000 /dev/urandom >blob && head -c 512 /dev/urandom >dir/block && ln file dir/sub/hard &&"
          "ln -s ../file dir/link && ln -s /etc/passwd dir/absolute && ln -s nowhere 'dir/a b\\c' && mkfifo dir/fifo "
          "&&"
          "mknod dir/null c 1 3 && mknod dir/disk b 8 16 && mknod dir/large c 300 70000 && chown 1000:1001 dir/sub &&"
          "chown 3000000:4000000000 file && chown -h 5:6 dir/link && chmod 4755 blob && chmod 0 dir/block &&"
          "chmod 1777 sticky && chmod 2750 dir/sub && ln dir/null dir/null2 && printf x >$(printf "
          "'dir/\\377\\376')") == 0);
  memset(name, 'n', 255);
  name[255] = '\0';
  snprintf(path, sizeof path, "%s/tree/dir/%s", base, name);
  CHECK(close(open(path, O_WRONLY | O_CREAT, 0644)) == 0);
  char target[1500];
  memset(target, 't', sizeof target - 1);
  target[sizeof target - 1] = '\0';
  snprintf(path, sizeof path, "%s/tree/dir/far", base);
  CHECK(symlink(target, path) == 0);
  snprintf(path, sizeof path, "%s/tree/%.*s/%.*s/%.*s", base, 90, name, 90, name, 90, name);
  CHECK(shell("mkdir -p tree/%.90s/%.90s && echo deep >tree/%.90s/%.90s/%.90s", name, name, name, name, name) == 0);
  /* Exactly at the border of the name field. */
  CHECK(shell("echo x >tree/%.95s && echo x >tree/%.94s && echo x >tree/%.96s", name, name, name) == 0);
  snprintf(path, sizeof path, "%s/tree/blob", base);
  CHECK(setxattr(path, "user.note", "with\n=\0nul", 10, 0) == 0);
  snprintf(path, sizeof path, "%s/tree/dir", base);
  CHECK(setxattr(path, "user.empty", "", 0, 0) == 0);
  snprintf(path, sizeof path, "%s/tree/none", base);
  static const unsigned char net_raw[] = {1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  CHECK(setxattr(path, "security.capability", net_raw, sizeof net_raw, 0) == 0);
  CHECK(
      shell(
          "cd tree && touch -hd '1969-12-31 23:59:58.25 UTC' dir/absolute none && touch -hd '2300-01-01 UTC' file &&"
          "touch -hd '2001-02-03 04:05:06.123456789 UTC' dir/fifo dir/sub dir dir/link . && touch -hd @0 dir/null") ==
      0);
}

static int write_tar(const char *path, const char *to) {
  struct error error;
  int root = open_base(".", O_RDONLY | O_DIRECTORY), out = open_base(to, O_WRONLY | O_CREAT | O_TRUNC);
  int done = archive_write_tar(root, path, out, &error);
  if (done < 0) fprintf(stderr, "%s: %s\n", error.code, error.message);
  close(root);
  close(out);
  return done;
}

static int read_tar(const char *from, const char *dest, unsigned flags) {
  struct error error;
  CHECK(shell("rm -rf %s && mkdir %s", dest, dest) == 0);
  int root = open_base(".", O_RDONLY | O_DIRECTORY), in = open_base(from, O_RDONLY);
  int done = archive_read_tar(root, dest, in, NULL, flags, NULL, &error);
  if (done < 0) fprintf(stderr, "%s: %s\n", error.code, error.message);
  close(root);
  close(in);
  return done;
}

int main(void) {
  CHECK(mkdtemp(base) != NULL);
  make_tree();
  /* Ours to ours. */
  CHECK(write_tar("tree", "ours.tar") == 0);
  CHECK(read_tar("ours.tar", "out", 0) == 0);
  same("tree", "out/tree");
  CHECK(write_tar("/tree/.", "dot.tar") == 0);
  CHECK(read_tar("dot.tar", "out", ARCHIVE_SET_DEST) == 0);
  same("tree", "out");
  /* The same tree gives the same archive. */
  CHECK(write_tar("tree", "again.tar") == 0);
  CHECK(shell("cmp ours.tar again.tar") == 0);
  /* Ours to GNU tar. */
  CHECK(shell("rm -rf gnu && mkdir gnu && tar --warning=no-timestamp --xattrs '--xattrs-include=*' --numeric-owner "
              "-C gnu -xpf ours.tar") == 0);
  same("tree", "gnu/tree");
  /* GNU tar to ours. */
  CHECK(shell("rm tree/dir/null2 && touch -hd '2001-02-03 04:05:06.5 UTC' tree/dir") ==
        0); /* it splits links to devices */
  CHECK(shell("tar --format=posix --xattrs '--xattrs-include=*' -cf posix.tar tree") == 0);
  CHECK(read_tar("posix.tar", "out", 0) == 0);
  same("tree", "out/tree");
  /* Its older format has neither attributes nor fractions of a second: without these. */
  CHECK(shell("rm -rf plain && cp -a --preserve=all tree plain && rm plain/none && : >plain/none && : >x &&"
              "rm plain/blob && cp tree/blob plain/blob && mv plain/dir d && mkdir plain/dir && mv d/* plain/dir && "
              "rm -r d &&"
              "find plain -exec touch -hd @1000000000 '{}' +") == 0);
  CHECK(shell("tar --format=gnu -cf gnu.tar plain") == 0);
  CHECK(read_tar("gnu.tar", "out", 0) == 0);
  same("plain", "out/plain");
  CHECK(shell("tar --format=v7 -cf v7.tar -C tree/dir block link") == 0);
  CHECK(read_tar("v7.tar", "out", 0) == 0);
  CHECK(shell("cmp tree/dir/block out/block && [ -L out/link ]") == 0);
  /* One file, a symlink by itself, and a folder through one. */
  CHECK(write_tar("tree/dir/link", "link.tar") == 0);
  CHECK(shell("[ \"$(tar tf link.tar)\" = link ] && ln -s tree/dir short") == 0);
  CHECK(write_tar("short/", "short.tar") == 0);
  CHECK(shell("tar tf short.tar | grep -q ^short/sub/hard") == 0);
  CHECK(write_tar("short", "short.tar") == 0);
  CHECK(shell("[ \"$(tar tf short.tar)\" = short ]") == 0);
  CHECK(write_tar("missing", "short.tar") < 0);
  CHECK(shell("rm -rf %s", base) == 0);
  return 0;
}
