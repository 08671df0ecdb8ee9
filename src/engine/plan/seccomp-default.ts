import type { Seccomp } from "../../model/oci.ts";

/*
 * The system calls a workload may use: those of Docker's default profile as of 2024. Like that one it leaves io_uring out.
 * Two errors tell callers apart: what is known and denied gives EPERM; what is not known (newer than this table or than
 * the libseccomp that compiles it) gives ENOSYS, so that programs fall back to older calls.
 */

const EPERM = 1;
const ENOSYS = 38;
const names = (text: string): string[] => text.trim().split(/\s+/);

const allowed = names(`
  read readv pread64 preadv preadv2 write writev pwrite64 pwritev pwritev2 lseek _llseek readahead
  sendfile sendfile64 splice tee vmsplice copy_file_range fadvise64 fadvise64_64 fallocate cachestat
  open openat openat2 creat close close_range dup dup2 dup3 pipe pipe2 fcntl fcntl64 ioctl flock umask
  stat stat64 lstat lstat64 fstat fstat64 newfstatat fstatat64 statx statfs statfs64 fstatfs fstatfs64
  access faccessat faccessat2 chmod fchmod fchmodat fchmodat2 chown chown32 lchown lchown32 fchown fchown32 fchownat
  utime utimes futimesat utimensat utimensat_time64 truncate truncate64 ftruncate ftruncate64
  getxattr lgetxattr fgetxattr setxattr lsetxattr fsetxattr listxattr llistxattr flistxattr
  removexattr lremovexattr fremovexattr getdents getdents64 getcwd chdir fchdir name_to_handle_at
  mkdir mkdirat rmdir mknod mknodat link linkat symlink symlinkat unlink unlinkat rename renameat renameat2
  readlink readlinkat sync syncfs fsync fdatasync sync_file_range
  inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark

  select _newselect pselect6 pselect6_time64 poll ppoll ppoll_time64
  epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait epoll_pwait2
  eventfd eventfd2 signalfd signalfd4 timerfd_create timerfd_settime timerfd_settime64 timerfd_gettime timerfd_gettime64
  io_setup io_submit io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64

  socketcall socketpair bind listen accept accept4 connect shutdown getsockname getpeername getsockopt setsockopt
  send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64

  mmap mmap2 munmap mremap mprotect madvise msync mincore brk remap_file_pages map_shadow_stack mseal
  mlock mlock2 mlockall munlock munlockall memfd_create memfd_secret membarrier pkey_alloc pkey_free pkey_mprotect
  shmget shmat shmdt shmctl semget semop semctl semtimedop semtimedop_time64 msgget msgsnd msgrcv msgctl ipc
  mq_open mq_unlink mq_notify mq_getsetattr mq_timedsend mq_timedsend_time64 mq_timedreceive mq_timedreceive_time64
  futex futex_time64 futex_waitv futex_wait futex_wake futex_requeue get_robust_list set_robust_list

  fork vfork execve execveat exit exit_group wait4 waitid waitpid restart_syscall
  getpid getppid gettid set_tid_address getpgid getpgrp setpgid getsid setsid
  kill tkill tgkill pause alarm getitimer setitimer pidfd_open pidfd_send_signal process_mrelease
  rt_sigaction rt_sigprocmask rt_sigpending rt_sigsuspend rt_sigreturn rt_sigqueueinfo rt_tgsigqueueinfo
  rt_sigtimedwait rt_sigtimedwait_time64 sigaltstack sigprocmask sigreturn
  ptrace process_vm_readv process_vm_writev
  getpriority setpriority ioprio_get ioprio_set sched_yield getcpu
  sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam sched_setparam
  sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min
  sched_rr_get_interval sched_rr_get_interval_time64
  getrlimit ugetrlimit setrlimit prlimit64 getrusage times sysinfo uname getrandom rseq
  prctl arch_prctl modify_ldt get_thread_area set_thread_area seccomp
  landlock_create_ruleset landlock_add_rule landlock_restrict_self

  getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getgroups getgroups32 setgroups setgroups32
  getresuid getresuid32 getresgid getresgid32 setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32
  setresuid setresuid32 setresgid setresgid32 setfsuid setfsuid32 setfsgid setfsgid32 capget capset

  time gettimeofday nanosleep clock_gettime clock_gettime64 clock_getres clock_getres_time64
  clock_nanosleep clock_nanosleep_time64 clock_adjtime clock_adjtime64 adjtimex
  timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64`);

/** What a capability opens; without it, denied. */
const byCapability: Record<string, string[]> = {
  CAP_BPF: ["bpf"],
  CAP_DAC_READ_SEARCH: ["open_by_handle_at"],
  CAP_PERFMON: ["perf_event_open"],
  CAP_SYSLOG: ["syslog"],
  CAP_SYS_ADMIN: names(`
    bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount open_tree
    perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare`),
  CAP_SYS_BOOT: ["reboot"],
  CAP_SYS_CHROOT: ["chroot"],
  CAP_SYS_MODULE: names("delete_module init_module finit_module"),
  CAP_SYS_NICE: names("get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
  CAP_SYS_PACCT: ["acct"],
  CAP_SYS_PTRACE: names("kcmp pidfd_getfd process_madvise"),
  CAP_SYS_RAWIO: names("iopl ioperm"),
  CAP_SYS_TIME: names("settimeofday stime clock_settime clock_settime64"),
  CAP_SYS_TTY_CONFIG: ["vhangup"],
};

/** No capability opens these: the kernel's keys, swap, root and boot, old calls, and the ways round the filter. */
const denied = names(`
  add_key keyctl request_key kexec_load kexec_file_load pivot_root swapon swapoff userfaultfd
  io_uring_setup io_uring_enter io_uring_register migrate_pages move_pages nfsservctl sysfs _sysctl ustat uselib
  create_module get_kernel_syms query_module vm86 vm86old vserver security afs_syscall tuxcall getpmsg putpmsg
  bdflush break ftime gtty idle lock mpx nice oldfstat oldlstat oldolduname oldstat olduname prof profil
  readdir sgetmask sigaction signal sigpending sigsuspend ssetmask stty ulimit`);

const AF_VSOCK = 40;
const personalities = [0, 0x8, 0x20000, 0x20008, 0xffffffff]; // plain, PER_LINUX32, UNAME26, both, "which?"
/** NEWNS NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET */
const namespaceFlags = [0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000];

type Rule = Seccomp["syscalls"][number];
type Argument = NonNullable<Rule["args"]>[number];

const allow = (names: string[], ...args: Argument[]): Rule => ({
  names,
  action: "SCMP_ACT_ALLOW",
  ...(args.length > 0 ? { args } : {}),
});
const deny = (names: string[], ...args: Argument[]): Rule => ({
  ...allow(names, ...args),
  action: "SCMP_ACT_ERRNO",
  errnoRet: EPERM,
});

/** clone without new namespaces. clone3 hides its flags from the filter: it does not exist (ENOSYS), and libc uses clone. */
function cloneRules(): Rule[] {
  const every = namespaceFlags.reduce((all, flag) => all + flag, 0);
  const masked = (mask: number, value: number): Argument => ({
    index: 0,
    value: mask,
    valueTwo: value,
    op: "SCMP_CMP_MASKED_EQ",
  });
  return [
    allow(["clone"], masked(every, 0)),
    ...namespaceFlags.map((flag) => deny(["clone"], masked(flag, flag))),
  ];
}

/**
 * The system call filter of a workload with these capabilities (`CAP_…` names), for x86-64 with its 32-bit modes.
 * Equal in effect to Docker's, down to the errors but one: a personality(2) that is not let through gives ENOSYS.
 */
export function defaultSeccomp(capabilities: Iterable<string>): Seccomp {
  const opened = new Set([...capabilities].flatMap((name) => byCapability[name] ?? []));
  const closed = new Set(
    [...denied, ...Object.values(byCapability).flat()].filter((name) => !opened.has(name)),
  );
  closed.delete("clone");
  closed.delete("clone3");
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: ENOSYS,
    architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    syscalls: [
      allow([...allowed, ...opened]),
      deny([...closed]),
      allow(["socket"], { index: 0, value: AF_VSOCK, op: "SCMP_CMP_NE" }),
      deny(["socket"], { index: 0, value: AF_VSOCK, op: "SCMP_CMP_EQ" }),
      ...personalities.map((value) => allow(["personality"], { index: 0, value, op: "SCMP_CMP_EQ" })),
      ...(opened.has("clone") ? [] : cloneRules()),
    ],
  };
}
