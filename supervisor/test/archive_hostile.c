/* Archives that want more than their destination: nothing outside it changes, and the error says why. */
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../archive.h"
#include "../util.h"
#include "tape.h"

static char base[] = "/tmp/archive-hostile-XXXXXX";
static int root;

/* A fresh world: base/root is the root, base/outside must stay as it is. */
static void fresh(void) {
  char command[256];
  snprintf(
      command, sizeof command,
      "cd %s && rm -rf root outside && mkdir -p root/dest outside && echo kept >outside/file && echo kept >root/file",
      base);
  CHECK(system(command) == 0);
  if (root > 0) close(root);
  char path[64];
  snprintf(path, sizeof path, "%s/root", base);
  root = open(path, O_RDONLY | O_DIRECTORY);
  CHECK(root >= 0);
}

static int input_of(const struct buffer *tape, size_t length) {
  int fd = memfd_create("tape", 0);
  CHECK(fd >= 0 && write_all(fd, buffer_data(tape), length) == 0 && lseek(fd, 0, SEEK_SET) == 0);
  return fd;
}

static struct error error;

static int unpack_into(struct buffer *tape, const char *dest, unsigned flags, const struct archive_limits *limits) {
  int fd = input_of(tape, buffer_length(tape));
  error = (struct error){0};
  int done = archive_read_tar(root, dest, fd, limits, flags, NULL, &error);
  close(fd);
  buffer_free(tape);
  *tape = (struct buffer){0};
  char path[64], text[16] = "";
  snprintf(path, sizeof path, "%s/outside/file", base);
  int kept = open(path, O_RDONLY);
  CHECK(kept >= 0 && read(kept, text, sizeof text) == 5 && strcmp(text, "kept\n") == 0);
  close(kept);
  snprintf(path, sizeof path, "cd %s && [ \"$(ls -A outside)\" = file ]", base);
  CHECK(system(path) == 0);
  return done;
}

static int shell(const char *test) {
  char command[512];
  snprintf(command, sizeof command, "cd %s/root && %s", base, test);
  return system(command) == 0;
}

#define REFUSED(tape, with) \
  do { \
    CHECK(unpack_into(tape, "dest", 0, NULL) < 0); \
    if (strcmp(error.code, with) != 0) fprintf(stderr, "got %s: %s\n", error.code, error.message); \
    CHECK(strcmp(error.code, with) == 0); \
  } while (0)

static void names(void) {
  struct buffer tape = {0};
  fresh();
  tape_add(&tape, (struct piece){'0', "../escaped", .content = "x"});
  tape_end(&tape);
  REFUSED(&tape, "invalid");
  tape_add(&tape, (struct piece){'0', "a/../../escaped", .content = "x"});
  tape_end(&tape);
  REFUSED(&tape, "invalid");
  tape_pax(&tape, 'x', "path", "../escaped");
  tape_add(&tape, (struct piece){'0', "fine", .content = "x"});
  tape_end(&tape);
  REFUSED(&tape, "invalid");
  CHECK(shell("[ \"$(ls -A)\" = \"$(printf 'dest\\nfile')\" ]"));
  /* A leading slash counts from the destination. */
  tape_add(&tape, (struct piece){'0', "//etc/./passwd", .content = "x"});
  tape_end(&tape);
  CHECK(unpack_into(&tape, "dest", 0, NULL) == 0);
  CHECK(shell("[ -f dest/etc/passwd ]"));
}

static void symlinked_parents(void) {
  char outside[64];
  snprintf(outside, sizeof outside, "%s/outside", base);
  const char *targets[] = {outside, "../../outside", "/", ".."};
  for (size_t i = 0; i < countof(targets); i++) {
    struct buffer tape = {0};
    fresh();
    tape_add(&tape, (struct piece){'2', "link", targets[i]});
    tape_add(&tape, (struct piece){'0', "link/file", .content = "changed"});
    tape_end(&tape);
    REFUSED(&tape, "invalid");
    CHECK(shell("grep -q kept file"));
    /* As a root of its own the same archive stays within it. */
    fresh();
    tape_add(&tape, (struct piece){'2', "link", targets[i]});
    tape_add(&tape, (struct piece){'5', "dest"});
    tape_add(&tape, (struct piece){'0', "link/new", .content = "changed"});
    tape_end(&tape);
    int done = unpack_into(&tape, "/", 0, NULL);
    CHECK(done == 0 || i == 0 || i == 1);
    if (i >= 2) CHECK(shell("[ -f new ]"));
  }
  /* A symlink within the destination is a parent like any other. */
  struct buffer tape = {0};
  fresh();
  tape_add(&tape, (struct piece){'5', "usr/lib"});
  tape_add(&tape, (struct piece){'2', "lib", "usr/lib"});
  tape_add(&tape, (struct piece){'0', "lib/so", .content = "x"});
  tape_end(&tape);
  CHECK(unpack_into(&tape, "dest", 0, NULL) == 0);
  CHECK(shell("[ -f dest/usr/lib/so ]"));
}

static void writes_through_symlinks(void) {
  struct buffer tape = {0};
  fresh();
  char outside[80];
  snprintf(outside, sizeof outside, "%s/outside/file", base);
  tape_add(&tape, (struct piece){'2', "link", outside});
  tape_add(&tape, (struct piece){'0', "link", .content = "changed", .mode = 0777});
  tape_end(&tape);
  CHECK(unpack_into(&tape, "dest", 0, NULL) == 0);
  CHECK(shell("[ ! -L dest/link ] && grep -q changed dest/link"));
  /* A folder in place of a symlink to one. */
  snprintf(outside, sizeof outside, "%s/outside", base);
  tape_add(&tape, (struct piece){'2', "folder", outside});
  tape_add(&tape, (struct piece){'5', "folder", .mode = 0700});
  tape_add(&tape, (struct piece){'0', "folder/in", .content = "x"});
  tape_end(&tape);
  CHECK(unpack_into(&tape, "dest", 0, NULL) == 0);
  CHECK(shell("[ ! -L dest/folder ] && [ -f dest/folder/in ]"));
  /* Hard links: to a symlink itself, never through one. */
  tape_add(&tape, (struct piece){'2', "out", outside});
  tape_add(&tape, (struct piece){'1', "stolen", "out/file"});
  tape_end(&tape);
  REFUSED(&tape, "invalid");
  tape_add(&tape, (struct piece){'1', "stolen", "../file"});
  tape_end(&tape);
  REFUSED(&tape, "invalid");
  tape_add(&tape, (struct piece){'1', "stolen", "/etc/passwd"});
  tape_end(&tape);
  REFUSED(&tape, "not_found");
  CHECK(shell("[ ! -e dest/stolen ]"));
}

static void whiteouts(void) {
  struct buffer tape = {0};
  char outside[64];
  snprintf(outside, sizeof outside, "%s/outside", base);
  const char *bad[] = {".wh.", ".wh..", ".wh...", "a/.wh.", "a/.wh...", ".wh.x/y", ".wh..wh.plnk"};
  for (size_t i = 0; i < countof(bad); i++) {
    fresh();
    tape_add(&tape, (struct piece){'0', bad[i]});
    tape_end(&tape);
    CHECK(unpack_into(&tape, "dest", ARCHIVE_WHITEOUTS, NULL) < 0);
  }
  fresh();
  tape_add(&tape, (struct piece){'2', "link", outside});
  tape_add(&tape, (struct piece){'0', "link/.wh.file"});
  tape_end(&tape);
  CHECK(unpack_into(&tape, "dest", ARCHIVE_WHITEOUTS, NULL) < 0);
  fresh();
  tape_add(&tape, (struct piece){'0', "a/.wh.gone"});
  tape_add(&tape, (struct piece){'0', "b/here"});
  tape_add(&tape, (struct piece){'0', "b/.wh..wh..opq"});
  tape_add(&tape, (struct piece){'0', "b/.wh.here"});
  tape_add(&tape, (struct piece){'0', ".wh.again"});
  tape_add(&tape, (struct piece){'0', "again/file"});
  tape_add(&tape, (struct piece){'0', ".wh.plain"});
  tape_add(&tape, (struct piece){'0', "plain"});
  tape_end(&tape);
  CHECK(unpack_into(&tape, "dest", ARCHIVE_WHITEOUTS, NULL) == 0);
  CHECK(shell("[ -c dest/a/gone ] && [ \"$(stat -c %t:%T dest/a/gone)\" = 0:0 ]"));
  CHECK(shell("[ -f dest/b/here ] && [ -f dest/again/file ] && [ -f dest/plain ] && [ ! -e dest/again/.wh.again ]"));
  char value[4] = "";
  int folder = openat(root, "dest/b", O_RDONLY | O_DIRECTORY);
  CHECK(fgetxattr(folder, "trusted.overlay.opaque", value, sizeof value) == 1 && *value == 'y');
  close(folder);
  folder = openat(root, "dest/again", O_RDONLY | O_DIRECTORY);
  CHECK(fgetxattr(folder, "trusted.overlay.opaque", value, sizeof value) == 1 && *value == 'y');
  close(folder);
  /* Without the flag they are names like others. */
  fresh();
  tape_add(&tape, (struct piece){'0', "a/.wh.gone"});
  tape_end(&tape);
  CHECK(unpack_into(&tape, "dest", 0, NULL) == 0);
  CHECK(shell("[ -f dest/a/.wh.gone ]"));
}

static void damage(void) {
  struct buffer tape = {0};
  fresh();
  tape_add(&tape, (struct piece){'0', "file", .content = "x", .bad_checksum = 1});
  tape_end(&tape);
  REFUSED(&tape, "corrupt");
  /* Cut at every place: an error each time, but at the end mark's second block and behind it. */
  tape_pax(&tape, 'x', "path", "long");
  tape_add(&tape, (struct piece){'0', "file", .content = "some content"});
  size_t body = buffer_length(&tape);
  tape_end(&tape);
  for (size_t length = 0; length <= buffer_length(&tape); length += 64) {
    int fd = input_of(&tape, length);
    int done = archive_read_tar(root, "dest", fd, NULL, 0, NULL, &error);
    CHECK((done == 0) == (length == body + 512 || length >= body + 1024));
    if (done < 0) CHECK(strcmp(error.code, "corrupt") == 0);
    close(fd);
  }
  int fd = input_of(&tape, body);
  CHECK(archive_read_tar(root, "dest", fd, NULL, ARCHIVE_END_OPTIONAL, NULL, &error) == 0);
  close(fd);
  buffer_free(&tape);
  tape = (struct buffer){0};
  tape_add(&tape, (struct piece){'0', "huge", .raw_size = "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"});
  tape_end(&tape);
  REFUSED(&tape, "corrupt");
  tape_add(&tape, (struct piece){'0', "huge", .raw_size = "\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"});
  tape_end(&tape);
  REFUSED(&tape, "corrupt");
  tape_add(&tape, (struct piece){'0', "negative", .raw_size = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"});
  tape_end(&tape);
  REFUSED(&tape, "corrupt");
  tape_add(&tape, (struct piece){'x', "pax", .raw_size = "77777777777"});
  REFUSED(&tape, "exhausted");
  tape_add(&tape, (struct piece){'L', "long", .raw_size = "77777777777"});
  REFUSED(&tape, "exhausted");
  const char *records[] = {"5 a=b\n",         "9999 a=b\n", "6 a=b",    "6 =bb\n",      "x",
                           "0 a=b\n",         "-6 a=b\n",   "7 a\nb\n", "11 size=-1\n", "13 mtime=1.x\n",
                           "15 path=a\0bcd\n"};
  for (size_t i = 0; i < countof(records); i++) {
    tape_add_sized(&tape, (struct piece){'x', "pax"}, records[i],
                   i == countof(records) - 1 ? 15 : strlen(records[i]));
    tape_add(&tape, (struct piece){'0', "file"});
    tape_end(&tape);
    REFUSED(&tape, "corrupt");
  }
  tape_add(&tape, (struct piece){'S', "sparse"});
  tape_end(&tape);
  REFUSED(&tape, "unsupported");
  tape_pax(&tape, 'x', "GNU.sparse.major", "1");
  tape_add(&tape, (struct piece){'0', "sparse"});
  tape_end(&tape);
  REFUSED(&tape, "unsupported");
  /* A global header cannot move what follows. */
  tape_pax(&tape, 'g', "size", "512");
  tape_pax(&tape, 'g', "path", "elsewhere");
  tape_add(&tape, (struct piece){'0', "one", .content = "1"});
  tape_add(&tape, (struct piece){'0', "two", .content = "2"});
  tape_end(&tape);
  CHECK(unpack_into(&tape, "dest", 0, NULL) == 0);
  CHECK(shell("[ \"$(cat dest/one dest/two)\" = 12 ] && [ ! -e dest/elsewhere ]"));
}

static void limits(void) {
  struct buffer tape = {0};
  struct archive_limits few = ARCHIVE_LIMITS;
  fresh();
  few.entries = 3;
  for (int i = 0; i < 4; i++)
    tape_add(&tape, (struct piece){'0', "file"});
  tape_end(&tape);
  CHECK(unpack_into(&tape, "dest", 0, &few) < 0 && strcmp(error.code, "exhausted") == 0);
  few = ARCHIVE_LIMITS;
  few.bytes = 4096;
  tape_add_sized(&tape, (struct piece){'0', "file"}, "", 0);
  for (int i = 0; i < 40; i++)
    tape_end(&tape);
  CHECK(unpack_into(&tape, "dest", 0, &few) < 0 && strcmp(error.code, "exhausted") == 0);
  char deep[4000] = "";
  for (int i = 0; i < 300; i++)
    strcat(deep, "d/");
  tape_pax(&tape, 'x', "path", deep);
  tape_add(&tape, (struct piece){'5', "deep"});
  tape_end(&tape);
  REFUSED(&tape, "exhausted");
  deep[400] = '\0';
  tape_pax(&tape, 'x', "path", deep);
  tape_add(&tape, (struct piece){'0', "deep", .content = "x"});
  tape_pax(&tape, 'x', "path", "d");
  tape_add(&tape, (struct piece){'0', "deep", .content = "instead of a deep tree"});
  tape_end(&tape);
  CHECK(unpack_into(&tape, "dest", 0, NULL) == 0);
  CHECK(shell("grep -q instead dest/d"));
  memset(deep, 'n', 300);
  deep[300] = '\0';
  tape_pax(&tape, 'x', "path", deep);
  tape_add(&tape, (struct piece){'0', "long"});
  tape_end(&tape);
  REFUSED(&tape, "invalid");
}

static void kept_folders(void) {
  struct buffer tape = {0};
  fresh();
  CHECK(shell("mkdir dest/folder && echo in >dest/folder/in && echo f >dest/plain"));
  tape_add(&tape, (struct piece){'0', "folder", .content = "x"});
  tape_end(&tape);
  CHECK(unpack_into(&tape, "dest", ARCHIVE_KEEP_FOLDERS, NULL) < 0 && strcmp(error.code, "conflict") == 0);
  tape_add(&tape, (struct piece){'5', "plain"});
  tape_end(&tape);
  CHECK(unpack_into(&tape, "dest", ARCHIVE_KEEP_FOLDERS, NULL) < 0 && strcmp(error.code, "conflict") == 0);
  CHECK(shell("[ -f dest/folder/in ] && [ -f dest/plain ]"));
}

static void attributes(void) {
  struct buffer tape = {0};
  fresh();
  tape_pax(&tape, 'x', "SCHILY.xattr.trusted.overlay.redirect", "/etc");
  tape_add(&tape, (struct piece){'5', "a"});
  tape_pax(&tape, 'x', "SCHILY.xattr.user.overlay.opaque", "y");
  tape_add(&tape, (struct piece){'5', "b"});
  tape_pax(&tape, 'x', "SCHILY.xattr.user.note", "kept");
  tape_add(&tape, (struct piece){'0', "c", .mode = 06755});
  tape_end(&tape);
  CHECK(unpack_into(&tape, "dest", 0, NULL) == 0);
  char value[16];
  int fd = openat(root, "dest/a", O_RDONLY);
  CHECK(flistxattr(fd, value, sizeof value) == 0);
  close(fd);
  fd = openat(root, "dest/b", O_RDONLY);
  CHECK(flistxattr(fd, value, sizeof value) == 0);
  close(fd);
  fd = openat(root, "dest/c", O_RDONLY);
  CHECK(fgetxattr(fd, "user.note", value, sizeof value) == 4);
  struct stat facts;
  CHECK(fstat(fd, &facts) == 0 && (facts.st_mode & 07777) == 06755);
  close(fd);
}

int main(void) {
  CHECK(mkdtemp(base) != NULL);
  names();
  symlinked_parents();
  writes_through_symlinks();
  whiteouts();
  damage();
  limits();
  kept_folders();
  attributes();
  char command[64];
  snprintf(command, sizeof command, "rm -rf %s", base);
  return system(command) == 0 ? 0 : 1;
}
