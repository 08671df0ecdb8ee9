/* The last steps of a workload's process before its program runs. All here is done in the child. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pty.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest_caps.h"
#include "guest_process.h"
#include "user.h"
#include "util.h"

static int say(int control, char kind, int fd) {
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
  } with = {.header = {.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
  struct iovec part = {&kind, 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (fd >= 0) {
    memcpy(CMSG_DATA(&with.header), &fd, sizeof fd);
    message.msg_control = &with;
    message.msg_controllen = sizeof with;
  }
  return sendmsg(control, &message, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

/* A terminal of the workload's own devpts. */
static int open_terminal(int control, const struct user *user, bool console, struct error *error) {
  cleanup_fd int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
  int unlock = 0;
  if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0) return error_errno(error, "open /dev/ptmx");
  cleanup_fd int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0 || fchown(slave, user->uid, (gid_t)-1) < 0) return error_errno(error, "open a terminal");
  if (console) {
    char path[40];
    cleanup_fd int target = open("/dev/console", O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0666);
    snprintf(path, sizeof path, "/proc/self/fd/%d", slave);
    if (target < 0 || mount(path, "/dev/console", NULL, MS_BIND, NULL) < 0)
      return error_errno(error, "make /dev/console");
  }
  if (say(control, CONTROL_TERMINAL, master) < 0 || setsid() < 0 || ioctl(slave, TIOCSCTTY, 0) < 0)
    return error_errno(error, "take a terminal");
  for (int fd = 0; fd < 3; fd++)
    if (dup2(slave, fd) < 0) return error_errno(error, "take a terminal");
  return 0;
}

static int take_streams(const int streams[3], const struct user *user, struct error *error) {
  setsid();
  for (int fd = 0; fd < 3; fd++) {
    cleanup_fd int null = -1;
    int source = streams[fd];
    if (source < 0) source = null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (source < 0 || dup2(source, fd) < 0) return error_errno(error, "standard stream %d", fd);
    /* So that the user may open /dev/stdout. */
    if (streams[fd] >= 0) (void)!fchown(fd, user->uid, (gid_t)-1);
  }
  return 0;
}

static int install_filter(const struct process_plan *plan, struct error *error) {
  if (!plan->filter) return 0;
  struct sock_fprog program = {.len = (unsigned short)(plan->filter_length / sizeof(struct sock_filter)),
                               .filter = (struct sock_filter *)plan->filter};
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0) return error_errno(error, "seccomp filter");
  return 0;
}

static int become_user(const struct user *user, struct error *error) {
  if (setgroups(user->group_count, user->groups) < 0) return error_errno(error, "set groups");
  if (prctl(PR_SET_KEEPCAPS, 1) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 ||
      setresuid(user->uid, user->uid, user->uid) < 0)
    return error_errno(error, "become user %u:%u", user->uid, user->gid);
  prctl(PR_SET_KEEPCAPS, 0);
  return 0;
}

/* The environment as given; HOME from passwd when it is not in it. */
static int set_environment(char **variables, const char *home) {
  clearenv();
  for (; *variables; variables++)
    if (strchr(*variables, '=') && putenv(*variables) != 0) return -1;
  const char *set = getenv("HOME");
  return set && *set ? 0 : setenv("HOME", home, 1);
}

static int cannot_run(const char *program, int number, struct error *error) {
  if (number == ENOENT || number == ENOTDIR || number == ELOOP)
    error_set(error, "not_found", "exec: \"%.400s\": %s", program,
              strchr(program, '/') ? "no such file or directory" : "executable file not found in $PATH");
  else
    error_set(error, "denied", "exec: \"%.400s\": %s", program,
              number == ENOEXEC  ? "exec format error"
              : number == EISDIR ? "is a directory"
              : number == EACCES ? "permission denied"
                                 : strerror(number));
  error->exit_status = strcmp(error->code, "not_found") == 0 ? 127 : 126;
  return -1;
}

/* A program's path by its name and $PATH, as a shell would look; NULL with errno. */
static char *find_program(const char *name) {
  struct stat stat_of;
  if (strchr(name, '/')) {
    if (stat(name, &stat_of) < 0) return NULL;
    if (S_ISDIR(stat_of.st_mode)) return errno = EISDIR, NULL;
    return xstrdup(name);
  }
  const char *path = getenv("PATH");
  int number = ENOENT;
  for (char *rest = xstrdup(path && *path ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), *folder;
       *name && (folder = strsep(&rest, ":"));) {
    char *file = xprintf("%s/%s", *folder ? folder : ".", name);
    if (stat(file, &stat_of) == 0 && S_ISREG(stat_of.st_mode)) {
      if (access(file, X_OK) == 0) return file;
      number = EACCES;
    }
    free(file);
  }
  errno = number;
  return NULL;
}

int process_become(const struct process_plan *plan, int control, const int streams[3], struct error *error) {
  const json_t *process = plan->process;
  struct user user;
  struct caps caps;
  const char *cwd = want_string(process, "cwd", "/");
  bool no_new_privileges = want_bool(process, "noNewPrivileges", false);
  char **arguments = need_strings(process, "args", error), **environment = need_strings(process, "env", error);
  if (!arguments || !environment) return -1;
  if (!*arguments) return error_set(error, "invalid", "no command: the image has none, so give one");
  if (caps_parse(&caps, json_object_get(process, "capabilities"), error) < 0) return -1;

  cleanup_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return error_errno(error, "open the root");
  if (user_lookup(root, plan->user, &user, error) < 0) return -1;
  cleanup_fd int folder = rootfs_make_folder(root, cwd, error);
  if (folder < 0 || fchdir(folder) < 0) return error->code ? -1 : error_errno(error, "working folder %s", cwd);
  if (set_environment(environment, user.home) < 0) return error_errno(error, "environment");
  if (want_bool(process, "terminal", false) ? open_terminal(control, &user, plan->console, error) < 0
                                            : take_streams(streams, &user, error) < 0)
    return -1;
  /* All but the three standard streams closes with exec; the control socket tells by that. */
  if (syscall(SYS_close_range, 3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */) < 0) return error_errno(error, "close descriptors");
  umask(022);

  if (caps_bound(&caps, error) < 0) return -1;
  /* Without no_new_privs a filter needs CAP_SYS_ADMIN, so it comes before the capabilities go. */
  if (!no_new_privileges && install_filter(plan, error) < 0) return -1;
  if (become_user(&user, error) < 0 || caps_apply(&caps, error) < 0) return -1;
  if (no_new_privileges && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || install_filter(plan, error) < 0))
    return error->code ? -1 : error_errno(error, "no_new_privs");

  char *program = find_program(*arguments);
  if (!program) return cannot_run(*arguments, errno, error);
  if (say(control, CONTROL_READY, -1) < 0) return error_errno(error, "control socket");
  execv(program, arguments);
  return cannot_run(*arguments, errno, error);
}
