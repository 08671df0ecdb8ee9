/* The merged tree as an EROFS file: mkfs.erofs, in a root that holds little else. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "confine.h"
#include "files.h"
#include "files_ghosts.h"
#include "mode_report.h"
#include "util.h"

#define ROOT "/sys/root"

/* A read-only bind mount of `source` at ROOT + `at`. */
static int show(const char *source, const char *at, struct error *error) {
  cleanup_free char *target = xprintf(ROOT "%s", at);
  if (mkdir(target, 0755) < 0 && errno != EEXIST) return error_errno(error, "%s cannot be made", target);
  if (mount(source, target, NULL, MS_BIND, NULL) < 0) return error_errno(error, "%s cannot be shown", source);
  unsigned long flags = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV;
  if (mount(NULL, target, NULL, flags, NULL) < 0) return error_errno(error, "%s cannot be read-only", source);
  return 0;
}

/* /bin, /lib and the like: folders of their own or symlinks into /usr. */
static int show_programs(struct error *error) {
  static const char *folders[] = {"/usr", "/bin", "/sbin", "/lib", "/lib64"};
  for (size_t i = 0; i < countof(folders); i++) {
    struct stat facts;
    char target[256];
    if (lstat(folders[i], &facts) < 0) continue;
    if (S_ISDIR(facts.st_mode) && show(folders[i], folders[i], error) < 0) return -1;
    if (!S_ISLNK(facts.st_mode)) continue;
    ssize_t length = readlink(folders[i], target, sizeof target - 1);
    cleanup_free char *at = xprintf(ROOT "%s", folders[i]);
    if (length < 0) continue;
    target[length] = '\0';
    if (symlink(target, at) < 0) return error_errno(error, "%s cannot be made", at);
  }
  return 0;
}

/* The file to make, bound alone to where mkfs finds it. */
static int show_output(const char *output, struct error *error) {
  cleanup_fd int made = open(output, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  cleanup_fd int point = open(ROOT "/out", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (made < 0 || point < 0 || mount(output, ROOT "/out", NULL, MS_BIND, NULL) < 0)
    return error_errno(error, "%s cannot be made", output);
  return 0;
}

static bool is_uuid(const char *text) {
  if (strlen(text) != 36 || strspn(text, "0123456789abcdef-") != 36) return false;
  for (size_t i = 0; i < 36; i++)
    if ((text[i] == '-') != (i == 8 || i == 13 || i == 18 || i == 23)) return false;
  return true;
}

static int prepare(const json_t *request, struct error *error) {
  const char *output;
  if (need_string(request, "output", &output, error) < 0) return -1;
  const char *tree = confine_namespaces(error) < 0 ? NULL : files_mount(request, error);
  if (!tree) return -1;
  /* A mount of its own, so that what is mounted in it stays there when it becomes the root. */
  if (mkdir(ROOT, 0755) < 0 || mount(ROOT, ROOT, NULL, MS_BIND, NULL) < 0)
    return error_errno(error, "no place for a root");
  if (show_programs(error) < 0 || show(tree, "/tree", error) < 0 || show_output(output, error) < 0) return -1;
  if (confine_descriptors(NULL, 0, error) < 0 || confine_root(ROOT, NULL, error) < 0) return -1;
  /* To read every file. Without CAP_SYS_ADMIN trusted attributes are not even seen. */
  return confine_privileges(CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_DAC_READ_SEARCH), error);
}

/* The last line of what mkfs said. */
static char *last_words(int fd) {
  size_t length;
  char *text = lseek(fd, 0, SEEK_SET) == 0 ? read_all(fd, 1 << 20, &length, NULL) : NULL;
  if (!text) return xstrdup("");
  while (length > 0 && text[length - 1] == '\n')
    text[--length] = '\0';
  char *line = strrchr(text, '\n');
  char *last = xstrdup(line ? line + 1 : text);
  free(text);
  return last;
}

/* The command line, NULL-terminated, all of it to be freed. */
static char **make_arguments(const char *uuid, const struct ghosts *ghosts) {
  char **arguments = xzalloc((9 + ghosts->count) * sizeof *arguments), **next = arguments;
  *next++ = xstrdup("mkfs.erofs");
  *next++ = xstrdup("--quiet");
  *next++ = xstrdup("--preserve-mtime");
  *next++ = xprintf("-U%s", uuid);
  /* No attributes shared between files: looking for such ones fails at what is excluded. */
  *next++ = xprintf("-x%d", INT_MAX);
  for (size_t i = 0; i < ghosts->count; i++)
    *next++ = xprintf("--exclude-path=%s", ghosts->paths[i]);
  *next++ = xstrdup("/out");
  *next++ = xstrdup("/tree");
  return arguments;
}

static void cleanup_arguments_(char ***arguments) {
  for (char **next = *arguments; *next; next++)
    free(*next);
  free(*arguments);
}

static int run_mkfs(const char *uuid, const struct ghosts *ghosts, struct error *error) {
  char **arguments __attribute__((cleanup(cleanup_arguments_))) = make_arguments(uuid, ghosts);
  cleanup_fd int said = memfd_create("said", MFD_CLOEXEC);
  pid_t child = said < 0 ? -1 : fork();
  if (child < 0) return error_errno(error, "mkfs.erofs cannot be forked");
  if (child == 0) {
    dup2(said, STDOUT_FILENO);
    dup2(said, STDERR_FILENO);
    /* The time of making is that of the file system too: a fixed one, later than any file's. */
    if (clearenv() == 0 && setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1) == 0 &&
        setenv("SOURCE_DATE_EPOCH", "4294967295", 1) == 0)
      execvp(arguments[0], arguments);
    dprintf(STDERR_FILENO, "%s\n", strerror(errno));
    _exit(127);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR)
    ;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
  cleanup_free char *words = last_words(said);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
    return error_set(error, "unavailable", "mkfs.erofs cannot be run (package erofs-utils): %s", words);
  return error_set(error, "internal", "mkfs.erofs failed with status %d: %s",
                   WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), words);
}

int files_erofs(const json_t *request, struct error *error) {
  const char *uuid = want_string(request, "uuid", "00000000-0000-0000-0000-000000000000");
  if (!is_uuid(uuid)) return error_set(error, "invalid", "files: \"%s\" is no lower-case UUID", uuid);
  struct ghosts ghosts __attribute__((cleanup(ghosts_free))) = {0};
  if (prepare(request, error) < 0 || ghosts_find(&ghosts, "/tree", error) < 0) return -1;
  if (run_mkfs(uuid, &ghosts, error) < 0) return -1;
  struct stat facts;
  if (stat("/out", &facts) < 0) return error_errno(error, "the file system cannot be found");
  return report_json(json_pack("{s:I}", "bytes", (json_int_t)facts.st_size), error);
}
