/* A profile becomes a filter that does what it says. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "../modes.h"
#include "oneshot.h"

static struct oneshot compile(const char *profile) {
  char *argv[] = {"seccomp", NULL};
  return oneshot(seccomp_main, argv, profile, strlen(profile));
}

static void refused(const char *profile, const char *code) {
  struct oneshot done = compile(profile);
  if (!strstr(done.err, code)) fprintf(stderr, "%s: %s", profile, done.err);
  CHECK(WIFEXITED(done.status) && WEXITSTATUS(done.status) == 1 && done.out_length == 0 && strstr(done.err, code));
  oneshot_free(&done);
}

static int errno_of(long result) { return result < 0 ? errno : 0; }

static int behaves(void) {
  if (errno_of(syscall(SYS_getppid)) != 0) return 1;
  if (errno_of(syscall(SYS_keyctl, 0, -3, 0)) != EPERM) return 2;
  if (errno_of(syscall(900)) != ENOSYS) return 3;
  if (errno_of(syscall(SYS_socket, 40, 1, 0)) != EACCES) return 4;
  int fd = (int)syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0) return 5;
  if (errno_of(syscall(SYS_personality, 0xffffffff)) != 0) return 6;
  if (errno_of(syscall(SYS_personality, 8)) != ENOSYS) return 7;
  if (errno_of(syscall(SYS_clone, 0x10000011, 0, 0, 0, 0)) != EPERM) return 8;
  pid_t child = fork(); /* clone without namespaces */
  if (child == 0) _exit(0);
  return child > 0 ? 0 : 9;
}

static void works(void) {
  struct oneshot done = compile("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,\"architectures\":["
                                "\"SCMP_ARCH_X86_64\"],"
                                "\"syscalls\":[{\"names\":[\"read\",\"write\",\"exit_group\",\"getppid\",\"set_"
                                "robust_list\",\"rseq\",\"getpid\","
                                "\"gettid\",\"not_a_call_at_all\"],\"action\":\"SCMP_ACT_ALLOW\"},"
                                "{\"names\":[\"keyctl\"],\"action\":\"SCMP_ACT_ERRNO\"},"
                                "{\"names\":[\"socket\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":13,\"args\":[{"
                                "\"index\":0,\"value\":40,\"op\":\"SCMP_CMP_EQ\"}]},"
                                "{\"names\":[\"socket\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,"
                                "\"value\":40,\"op\":\"SCMP_CMP_NE\"}]},"
                                "{\"names\":[\"personality\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,"
                                "\"value\":4294967295,\"op\":\"SCMP_CMP_EQ\"}]},"
                                "{\"names\":[\"clone\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,"
                                "\"value\":2114060288,\"valueTwo\":0,"
                                "\"op\":\"SCMP_CMP_MASKED_EQ\"}]},"
                                "{\"names\":[\"clone\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":1,\"args\":[{"
                                "\"index\":0,\"value\":268435456,"
                                "\"valueTwo\":268435456,\"op\":\"SCMP_CMP_MASKED_EQ\"}]}]}");
  if (done.status != 0) fprintf(stderr, "%s", done.err);
  CHECK(done.status == 0 && done.out_length > 0 && done.out_length % sizeof(struct sock_filter) == 0);
  struct sock_fprog program = {(unsigned short)(done.out_length / sizeof(struct sock_filter)),
                               (struct sock_filter *)(void *)done.out};
  pid_t child = fork();
  if (child == 0) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
      _exit(99);
    _exit(behaves());
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  if (status != 0) fprintf(stderr, "status %x\n", status);
  CHECK(status == 0);
  oneshot_free(&done);
}

int main(void) {
  refused("", "invalid");
  refused("{}", "invalid");
  refused("{\"defaultAction\":\"SCMP_ACT_NOTIFY\"}", "unsupported");
  refused("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":5000}", "invalid");
  refused("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"]}", "unsupported");
  refused("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ERRNO\","
          "\"args\":[{\"index\":6,\"value\":0,\"op\":\"SCMP_CMP_EQ\"}]}]}",
          "invalid");
  refused("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ERRNO\","
          "\"args\":[{\"index\":0,\"value\":\"x\",\"op\":\"SCMP_CMP_EQ\"}]}]}",
          "invalid");
  refused("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[\"SCMP_ARCH_X86\"],\"syscalls\":["
          "{\"names\":[\"socket\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":13,\"args\":[{\"index\":0,\"value\":40,"
          "\"op\":\"SCMP_CMP_EQ\"}]},"
          "{\"names\":[\"socket\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":40,\"op\":\"SCMP_"
          "CMP_NE\"}]}]}",
          "contradicts");
#ifdef __SANITIZE_ADDRESS__
  bool sanitized = true; /* the sanitizer needs more system calls */
#else
  bool sanitized = false;
#endif
  if (!sanitized) works();
  return 0;
}
