/* The system calls of the archive code, by libseccomp. */
#include <errno.h>
#include <seccomp.h>
#include <sys/mman.h>

#include "confine.h"
#include "util.h"

static const int allowed[] = {
    SCMP_SYS(brk),          SCMP_SYS(clock_gettime), SCMP_SYS(close),
    SCMP_SYS(exit),         SCMP_SYS(exit_group),    SCMP_SYS(fchmod),
    SCMP_SYS(fchown),       SCMP_SYS(fchownat),      SCMP_SYS(fcntl),
    SCMP_SYS(fgetxattr),    SCMP_SYS(flistxattr),    SCMP_SYS(fsetxattr),
    SCMP_SYS(fstat),        SCMP_SYS(futex),         SCMP_SYS(getdents64),
    SCMP_SYS(getpid),       SCMP_SYS(getrandom),     SCMP_SYS(gettid),
    SCMP_SYS(linkat),       SCMP_SYS(lseek),         SCMP_SYS(madvise),
    SCMP_SYS(mkdirat),      SCMP_SYS(mknodat),       SCMP_SYS(mremap),
    SCMP_SYS(munmap),       SCMP_SYS(newfstatat),    SCMP_SYS(openat),
    SCMP_SYS(openat2),      SCMP_SYS(read),          SCMP_SYS(readlinkat),
    SCMP_SYS(readv),        SCMP_SYS(rt_sigaction),  SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn), SCMP_SYS(statx),         SCMP_SYS(symlinkat),
    SCMP_SYS(syncfs),       SCMP_SYS(tgkill),        SCMP_SYS(umask),
    SCMP_SYS(unlinkat),     SCMP_SYS(utimensat),     SCMP_SYS(wait4),
    SCMP_SYS(write),        SCMP_SYS(writev),
};

int confine_syscalls(struct error *error) {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
  if (!filter) return error_set(error, "internal", "a system call filter cannot be made");
  int failed = 0;
  for (size_t i = 0; i < countof(allowed) && !failed; i++)
    failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
  /* Memory, but none to execute. */
  const int mapping[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};
  for (size_t i = 0; i < countof(mapping) && !failed; i++)
    failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, mapping[i], 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
  if (!failed) failed = seccomp_load(filter);
  seccomp_release(filter);
  errno = -failed;
  return failed ? error_errno(error, "the system call filter cannot be set") : 0;
}
