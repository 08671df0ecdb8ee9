#include "vm_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "loop.h"
#include "util.h"
#include "vm_root.h"

static int limit(int which, rlim_t value, struct error *error) {
  struct rlimit now, wanted = {value, value};
  if (getrlimit(which, &now) == 0 && now.rlim_max < value) return 0; /* lower already */
  if (setrlimit(which, &wanted) < 0) return error_errno(error, "lower resource limit %d", which);
  return 0;
}

static int drop_privileges(const struct vm_config *config, struct error *error) {
  uid_t uid = (uid_t)config->uid;
  gid_t gid = (gid_t)config->gid;
  for (int capability = 0; prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0; capability++) continue;
  if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
    return error_errno(error, "become uid %d", (int)uid);
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct none[2] = {0};
  if (syscall(SYS_capset, &header, none) < 0) return error_errno(error, "drop capabilities");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return error_errno(error, "set no_new_privs");
  return 0;
}

/* SIGKILL when the shim dies, also if it died before this: then nobody reads `report` (a parent in another pid
   namespace has no pid here to compare). */
static int die_with_shim(int report, struct error *error) {
  struct pollfd reader = {.fd = report};
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) return error_errno(error, "set the death signal");
  if (poll(&reader, 1, 0) < 0) return error_errno(error, "look for the supervisor");
  return reader.revents & POLLERR ? error_set(error, "canceled", "the supervisor has died") : 0;
}

static int place_descriptors(const struct vm_descriptors *descriptors, int output, struct error *error) {
  cleanup_fd int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (nothing < 0 || dup2(nothing, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0)
    return error_errno(error, "set the standard streams");
  for (int i = 3; i < VM_FD_END; i++) {
    if (!descriptors || descriptors->fds[i] < 0)
      close(i);
    else if (dup2(descriptors->fds[i], i) < 0)
      return error_errno(error, "place descriptor %d", i);
  }
  /* Whatever else is open here (the error pipe too) ends with the exec. */
  if (syscall(SYS_close_range, VM_FD_END, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */) < 0)
    return error_errno(error, "mark descriptors close-on-exec");
  return 0;
}

static int run_qemu(const struct vm_config *config, const struct vm_cgroup *cgroup,
                    const struct vm_descriptors *descriptors, int output, int report, struct error *error) {
  static char *environment[] = {"LANG=C", NULL};
  if (vm_cgroup_enter(cgroup, getpid()) < 0) return error_errno(error, "enter cgroup %s", config->cgroup);
  if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
    return error_errno(error, "unshare namespaces");
  if (vm_root_enter(config, strcmp(config->accelerator, "kvm") == 0, error) < 0) return -1;
  if (place_descriptors(descriptors, output, error) < 0) return -1;
  if (limit(RLIMIT_CORE, 0, error) < 0 || limit(RLIMIT_NOFILE, 1024, error) < 0 ||
      limit(RLIMIT_NPROC, (rlim_t)config->pids_limit, error) < 0 ||
      limit(RLIMIT_FSIZE, (rlim_t)config->file_limit, error) < 0)
    return -1;
  umask(077);
  if (drop_privileges(config, error) < 0 || die_with_shim(report, error) < 0) return -1;
  execve(config->qemu[0], config->qemu, environment);
  return error_errno(error, "run %s", config->qemu[0]);
}

static int run_virtiofsd(const struct vm_config *config, const struct vm_cgroup *cgroup, int listener, int output,
                         int report, struct error *error) {
  cleanup_free char *source = xprintf("source=%s/shares", config->folder);
  cleanup_free char *socket = xprintf("--fd=%d", 3);
  char *const argv[] = {(char *)config->virtiofsd, socket, "-f", "-o", source, "-o",
                        /* Close-to-open: names and attributes are asked for each time, or an open within the
                           timeout would read by the old size. Pages are cached, so that mmap is shared. */
                        "cache=auto,timeout=0,sandbox=namespace,announce_submounts,log_level=warn",
                        "--rlimit-nofile=0", NULL};
  char *environment[] = {"LANG=C", NULL};
  struct vm_descriptors descriptors;
  vm_descriptors_init(&descriptors);
  descriptors.fds[3] = listener;
  if (vm_cgroup_enter(cgroup, getpid()) < 0) return error_errno(error, "enter cgroup %s", config->cgroup);
  if (place_descriptors(&descriptors, output, error) < 0) return -1;
  if (limit(RLIMIT_CORE, 0, error) < 0) return -1;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return error_errno(error, "set no_new_privs");
  umask(0);
  if (die_with_shim(report, error) < 0) return -1;
  execve(argv[0], argv, environment);
  return error_errno(error, "run %s", argv[0]);
}

/* In the parent: what the child said before its exec; nothing means that it runs. */
static pid_t wait_for_exec(pid_t pid, int *report, const char *what, struct error *error) {
  struct error said;
  ssize_t length = 0, got;
  do {
    got = read(*report, (char *)&said + length, sizeof said - (size_t)length);
    if (got > 0) length += got;
  } while ((got > 0 && (size_t)length < sizeof said) || (got < 0 && errno == EINTR));
  if (length == 0) return pid;
  waitpid(pid, NULL, 0);
  if (length == sizeof said) {
    said.message[sizeof said.message - 1] = 0;
    /* `code` points into the same program: the child is our copy. */
    return error_set(error, said.code, "%s did not start: %s", what, said.message);
  }
  return error_set(error, "internal", "%s did not start", what);
}

/* Forks into the new `namespaces`; 0 in the child, which has `*report` to write its error to. */
static pid_t fork_child(uint64_t namespaces, int report[2], struct error *error) {
  if (pipe2(report, O_CLOEXEC) < 0) return error_errno(error, "make a pipe");
  struct clone_args arguments = {.flags = namespaces, .exit_signal = SIGCHLD};
  pid_t pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid < 0) {
    error_errno(error, "fork");
    close(report[0]);
    close(report[1]);
    return -1;
  }
  if (pid > 0) {
    close(report[1]);
    return pid;
  }
  close(report[0]);
  /* Out of the range that is filled for the program. */
  report[1] = fcntl(report[1], F_DUPFD_CLOEXEC, VM_FD_END);
  loop_child_unblock();
  setsid();
  return 0;
}

static void report_and_exit(int fd, const struct error *error) __attribute__((noreturn));
static void report_and_exit(int fd, const struct error *error) {
  write_all(fd, error, sizeof *error);
  _exit(127);
}

pid_t vm_spawn_qemu(const struct vm_config *config, const struct vm_cgroup *cgroup,
                    const struct vm_descriptors *descriptors, int output, struct error *error) {
  int report[2];
  /* Sees no other process, and so can signal or trace none: another engine's QEMU may have the same uid. */
  pid_t pid = fork_child(CLONE_NEWPID, report, error);
  if (pid < 0) return -1;
  if (pid == 0) {
    struct error failure = {.code = "internal"};
    run_qemu(config, cgroup, descriptors, output, report[1], &failure);
    report_and_exit(report[1], &failure);
  }
  pid = wait_for_exec(pid, &report[0], "QEMU", error);
  close(report[0]);
  return pid;
}

pid_t vm_spawn_virtiofsd(const struct vm_config *config, const struct vm_cgroup *cgroup, int listener, int output,
                         struct error *error) {
  int report[2];
  pid_t pid = fork_child(0, report, error);
  if (pid < 0) return -1;
  if (pid == 0) {
    struct error failure = {.code = "internal"};
    run_virtiofsd(config, cgroup, listener, output, report[1], &failure);
    report_and_exit(report[1], &failure);
  }
  pid = wait_for_exec(pid, &report[0], "virtiofsd", error);
  close(report[0]);
  return pid;
}
