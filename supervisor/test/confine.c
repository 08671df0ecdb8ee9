/* The modes that touch what is not trusted are shut in, and leave nothing mounted. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "../confine.h"
#include "../modes.h"
#include "oneshot.h"
#include "tape.h"

static char base[] = "/tmp/confine-XXXXXX";

/* What a child does in a root it has been shut into; its exit status comes back, or 256 + the signal that ended it.
 */
static int confined(int (*then)(void)) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    struct error error;
    bool pivoted = false;
    if (confine_descriptors(NULL, 0, &error) < 0 || confine_namespaces(&error) < 0 ||
        confine_root(base, &pivoted, &error) < 0 || confine_privileges(confine_archive_capabilities, &error) < 0 ||
        confine_syscalls(&error) < 0) {
      fprintf(stderr, "%s\n", error.message);
      _exit(99);
    }
    _exit(then());
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

static int sees_the_host(void) { return openat(AT_FDCWD, "/etc/passwd", O_RDONLY) >= 0; }
static int climbs_out(void) { return openat(AT_FDCWD, "../../../../../../etc/passwd", O_RDONLY) >= 0; }
static int makes_a_socket(void) { return socket(AF_INET, SOCK_STREAM, 0) >= 0; }
static int runs_a_program(void) { return execl("/bin/true", "true", NULL); }
static int mounts(void) { return (int)syscall(SYS_mount, "x", "/", "tmpfs", 0, NULL); }
static int maps_code(void) {
  return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}
static int works(void) {
  int fd = openat(AT_FDCWD, "/mine", O_WRONLY | O_CREAT, 0600);
  return fd >= 0 && write(fd, "x", 1) == 1 && fchown(fd, 7, 8) == 0 && unlinkat(AT_FDCWD, "/mine", 0) == 0 ? 0 : 1;
}
static int opens_a_descriptor(void) {
  for (int fd = 3; fd < 100; fd++)
    if (fcntl(fd, F_GETFD) >= 0) return 1;
  return 0;
}

static void walls(void) {
  int extra = open("/", O_RDONLY | O_DIRECTORY);
  CHECK(extra >= 0);
  CHECK(confined(works) == 0);
  CHECK(confined(sees_the_host) == 0);
  CHECK(confined(climbs_out) == 0);
  CHECK(confined(opens_a_descriptor) == 0);
  CHECK(confined(makes_a_socket) == 256 + SIGSYS);
  CHECK(confined(runs_a_program) == 256 + SIGSYS);
  CHECK(confined(mounts) == 256 + SIGSYS);
  CHECK(confined(maps_code) == 256 + SIGSYS);
  close(extra);
}

static void capabilities(void) {
  pid_t child = fork();
  if (child == 0) {
    struct error error;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (confine_privileges(confine_archive_capabilities, &error) < 0) _exit(1);
    if (syscall(SYS_capget, &header, data) < 0) _exit(2);
    uint64_t permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
    _exit(permitted != confine_archive_capabilities || data[0].effective != data[0].permitted);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void kept_descriptors(void) {
  int ends[2], other = open("/", O_RDONLY | O_DIRECTORY);
  CHECK(pipe(ends) == 0);
  pid_t child = fork();
  if (child == 0) {
    struct error error;
    int keep[] = {ends[1], ends[0]};
    if (confine_descriptors(keep, 2, &error) < 0) _exit(1);
    _exit(fcntl(ends[0], F_GETFD) < 0 || fcntl(ends[1], F_GETFD) < 0 || fcntl(other, F_GETFD) >= 0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  close(other);
  close(ends[0]);
  close(ends[1]);
}

static void unpacks(void) {
  struct buffer tape = {0};
  char dest[100];
  snprintf(dest, sizeof dest, "%s/layer", base);
  CHECK(mkdir(dest, 0700) == 0);
  tape_add(&tape, (struct piece){'5', "./", .mode = 0755});
  tape_add(&tape, (struct piece){'0', "etc/motd", .content = "hello\n", .mode = 04711});
  tape_add(&tape, (struct piece){'0', "etc/.wh.gone"});
  tape_add(&tape, (struct piece){'0', "var/.wh..wh..opq"});
  tape_add(&tape, (struct piece){'2', "abs", "/etc"});
  tape_add(&tape, (struct piece){'0', "abs/through", .content = "x"});
  tape_add(&tape, (struct piece){'3', "dev/null", .major = 1, .minor = 3});
  tape_end(&tape);
  char *argv[] = {"unpack", "--dest", dest, "--whiteouts", "--sync", NULL};
  struct oneshot done = oneshot(unpack_main, argv, buffer_data(&tape), buffer_length(&tape));
  if (done.status != 0) fprintf(stderr, "%s", done.err);
  CHECK(done.status == 0);
  CHECK(strcmp(done.out, "{\"entries\":7,\"bytes\":7,\"droppedXattrs\":0,\"root\":\"pivot\"}\n") == 0);
  oneshot_free(&done);
  char command[300];
  snprintf(
      command, sizeof command,
      "cd %s && [ $(stat -c %%a etc/motd) = 4711 ] && [ -c etc/gone ] && [ -f etc/through ] && [ -c dev/null ] &&"
      "[ $(stat -c %%a .) = 755 ]",
      dest);
  CHECK(system(command) == 0);
  char value[4];
  snprintf(command, sizeof command, "%s/var", dest);
  CHECK(getxattr(command, "trusted.overlay.opaque", value, sizeof value) == 1);
  /* Cut off: an error as the protocol has it. */
  done = oneshot(unpack_main, argv, buffer_data(&tape), buffer_length(&tape) - 1024);
  CHECK(WIFEXITED(done.status) && WEXITSTATUS(done.status) == 1 && *done.out == '\0');
  CHECK(strncmp(done.err, "{\"code\":\"corrupt\",\"message\":\"", 29) == 0 && strchr(done.err, '\n')[1] == '\0');
  oneshot_free(&done);
  char *limited[] = {"unpack", "--dest", dest, "--max-entries", "3", NULL};
  done = oneshot(unpack_main, limited, buffer_data(&tape), buffer_length(&tape));
  CHECK(WEXITSTATUS(done.status) == 1 && strstr(done.err, "exhausted") != NULL);
  oneshot_free(&done);
  char *wrong[] = {"unpack", "--dest", dest, "--max-bytes", "many", NULL};
  done = oneshot(unpack_main, wrong, "", 0);
  CHECK(WEXITSTATUS(done.status) == 1 && strstr(done.err, "many") != NULL);
  oneshot_free(&done);
  char *mounts_left = read_path("/proc/self/mountinfo", 1 << 20, NULL, NULL);
  CHECK(mounts_left && !strstr(mounts_left, base) && !strstr(mounts_left, " /sys/tree "));
  free(mounts_left);
  buffer_free(&tape);
}

int main(void) {
#ifdef __SANITIZE_ADDRESS__
  return 0; /* the sanitizer needs more memory and system calls than these walls leave */
#endif
  CHECK(mkdtemp(base) != NULL);
  walls();
  capabilities();
  kept_descriptors();
  unpacks();
  char command[64];
  snprintf(command, sizeof command, "rm -rf %s", base);
  return system(command) == 0 ? 0 : 1;
}
