/* Folders that a layer's archive only implies look as in the layers below. */
#include <sys/xattr.h>

#include "../modes.h"
#include "oneshot.h"
#include "tape.h"

static char base[] = "/tmp/layer-parents-XXXXXX";

static int shell(const char *command) {
  char *whole = xprintf("cd %s && %s", base, command);
  int status = system(whole);
  free(whole);
  return status;
}

/* Mode, owner and group of a folder of what was unpacked. */
static void expect(const char *path, unsigned mode, unsigned uid, unsigned gid) {
  struct stat facts;
  char *whole = xprintf("%s/dest%s", base, path);
  CHECK(stat(whole, &facts) == 0);
  if ((facts.st_mode & 07777) != mode || facts.st_uid != uid || facts.st_gid != gid)
    fprintf(stderr, "%s is %o %u:%u\n", path, facts.st_mode & 07777, facts.st_uid, facts.st_gid);
  CHECK((facts.st_mode & 07777) == mode && facts.st_uid == uid && facts.st_gid == gid);
  free(whole);
}

static struct oneshot unpack(const struct buffer *tape, const char *flag) {
  char *dest = xprintf("%s/dest", base), *top = xprintf("%s/top", base), *bottom = xprintf("%s/bottom", base);
  char *argv[] = {"unpack", "--dest", dest, (char *)flag, "--lower", top, "--lower", bottom, NULL};
  struct oneshot done = oneshot(unpack_main, argv, buffer_data(tape), buffer_length(tape));
  free(dest);
  free(top);
  free(bottom);
  return done;
}

int main(void) {
#ifdef __SANITIZE_ADDRESS__
  return 0; /* the sanitizer's memory is more than the limit that unpack sets itself */
#endif
  if (geteuid() != 0) return puts("not root: skipped"), 0;
  CHECK(mkdtemp(base));
  CHECK(shell("mkdir -p dest top bottom/tmp/deep bottom/gone/a bottom/veiled/a top/veiled top/own bottom/own && "
              "chmod 1777 bottom/tmp && chown 5:6 bottom/tmp/deep && chmod 2750 bottom/tmp/deep && chmod 711 bottom/gone/a && "
              "chmod 700 bottom/veiled/a && mknod top/gone c 0 0 && chmod 700 bottom/own && chmod 770 top/own && "
              "chmod 751 top && chown 7:8 top && ln -s /tmp bottom/link") == 0);
  char *veiled = xprintf("%s/top/veiled", base);
  CHECK(setxattr(veiled, "trusted.overlay.opaque", "y", 1, 0) == 0);
  free(veiled);
  struct buffer tape = {0};
  const char *const names[] = {"tmp/deep/new/file", "gone/a/file", "veiled/a/file", "own/file", "link/file"};
  for (size_t i = 0; i < countof(names); i++) tape_add(&tape, (struct piece){.type = '0', .name = names[i]});
  tape_end(&tape);
  struct oneshot done = unpack(&tape, "--whiteouts");
  if (done.status) fprintf(stderr, "%s\n", done.err);
  CHECK(done.status == 0);
  oneshot_free(&done);
  expect("", 0751, 7, 8);
  expect("/tmp", 01777, 0, 0);
  expect("/tmp/deep", 02750, 5, 6);
  expect("/tmp/deep/new", 0755, 0, 0);
  expect("/gone/a", 0755, 0, 0);   /* whited out above */
  expect("/veiled/a", 0755, 0, 0); /* an opaque folder above */
  expect("/own", 0770, 0, 0);      /* the topmost one counts */
  expect("/link", 0755, 0, 0);     /* no folder there */

  /* What the archive says itself wins. */
  CHECK(shell("rm -rf dest && mkdir dest") == 0);
  buffer_free(&tape);
  tape = (struct buffer){0};
  tape_add(&tape, (struct piece){.type = '0', .name = "tmp/file"});
  tape_add(&tape, (struct piece){.type = '5', .name = "tmp", .mode = 0750});
  tape_add(&tape, (struct piece){.type = '5', .name = "./", .mode = 0711});
  tape_end(&tape);
  done = unpack(&tape, "--whiteouts");
  CHECK(done.status == 0);
  oneshot_free(&done);
  expect("/tmp", 0750, 0, 0);
  expect("", 0711, 0, 0);

  done = unpack(&tape, "--end-optional");
  CHECK(WIFEXITED(done.status) && WEXITSTATUS(done.status) == 1 && strstr(done.err, "--whiteouts"));
  oneshot_free(&done);
  buffer_free(&tape);
  CHECK(shell("rm -rf dest top bottom && cd / && rmdir \"$OLDPWD\"") == 0);
  puts("ok");
  return 0;
}
