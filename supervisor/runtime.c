#include "runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "json.h"
#include "util.h"

enum { most_arguments = 40, terminal_wait_ms = 2000 };

struct arguments {
  const char *list[most_arguments + 1];
  int count;
};

static void add(struct arguments *arguments, const char *text) {
  if (arguments->count == most_arguments) abort();
  arguments->list[arguments->count++] = text;
}
static void add_all(struct arguments *arguments, const char *const *texts) {
  for (; *texts; texts++) add(arguments, *texts);
}

/* In its text form crun's late messages, which land on the container's standard error, are fit for people. */
static bool is_crun(const struct runtime *runtime) {
  const char *name = strrchr(runtime->program, '/');
  return strcmp(name ? name + 1 : runtime->program, "crun") == 0;
}

static void child_exec(const struct runtime *runtime, const struct arguments *arguments, int in, int out, int err) {
  static char *const environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
  loop_child_unblock();
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* a half-made container dies with its shim; what it has made is in its cgroup */
  if (chdir(runtime->folder) < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) _exit(127);
  execve(runtime->program, (char *const *)arguments->list, environment);
  _exit(127);
}

/*
 * A listening socket by which the runtime sends the terminal. Its path goes through a descriptor of ours, since a
 * socket address holds only 107 bytes.
 */
static int listen_for_terminal(const char *path, struct error *error) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 1) < 0)
    return error_errno(error, "socket for the terminal");
  return take_fd(&fd);
}

/* Takes the master that the runtime has sent. */
static int receive_terminal(int listening, struct error *error) {
  struct pollfd wait = {.fd = listening, .events = POLLIN};
  if (poll(&wait, 1, terminal_wait_ms) != 1) return error_set(error, "internal", "the runtime sent no terminal");
  cleanup_fd int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0) return error_errno(error, "accept the terminal");
  char name[256], control[CMSG_SPACE(sizeof(int))];
  struct iovec vector = {name, sizeof name};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  wait.fd = fd;
  if (poll(&wait, 1, terminal_wait_ms) != 1 || recvmsg(fd, &message, MSG_CMSG_CLOEXEC) < 0)
    return error_errno(error, "receive the terminal");
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
      header->cmsg_len != CMSG_LEN(sizeof(int)))
    return error_set(error, "internal", "the runtime sent no terminal");
  int master;
  memcpy(&master, CMSG_DATA(header), sizeof master);
  return master;
}

/* What the runtime logged last: the "msg" of a JSON line (runc), or the plain line (crun); to be freed. */
static char *last_message(const char *log_file) {
  cleanup_free char *text = read_path(log_file, 1 << 20, NULL, NULL);
  char *message = NULL, *rest = text;
  for (char *line; (line = strsep(&rest, "\n"));) {
    cleanup_json json_t *entry = *line == '{' ? json_object_parse(line, strlen(line), NULL) : NULL;
    const char *msg = entry ? want_string(entry, "msg", NULL) : *line ? line : NULL;
    if (!msg || (entry && strcmp(want_string(entry, "level", "error"), "warning") == 0)) continue;
    free(message);
    message = xstrdup(msg);
  }
  return message;
}

/* The exit status that a shell would give, from what crun and runc say. */
static void classify(const char *message, struct error *error) {
  bool missing = strcasestr(message, "no such file or directory") || strcasestr(message, "not found");
  if (strcasestr(message, "chdir") || strcasestr(message, "cwd")) {
    error_set(error, "invalid", "working folder cannot be entered: %s", message);
    error->exit_status = 126;
  } else if (!strcasestr(message, "exec")) {
    error_set(error, "internal", "%s", message);
  } else if (missing) {
    error_set(error, "not_found", "%s", message);
    error->exit_status = 127;
  } else if (strcasestr(message, "permission denied") || strcasestr(message, "not permitted") ||
             strcasestr(message, "is a directory") || strcasestr(message, "format error")) {
    error_set(error, "invalid", "%s", message);
    error->exit_status = 126;
  } else {
    error_set(error, "internal", "%s", message);
  }
}

static void failed(struct runtime_call *call, int status) {
  cleanup_free char *message = last_message(call->log_file);
  if (message)
    classify(message, &call->error);
  else
    error_set(&call->error, "internal", "%s ended with status %d and no message", call->runtime->program,
              exit_code_of(status));
}

static void on_exit_of_runtime(void *context, int status) {
  struct runtime_call *call = context;
  if (status != 0) {
    failed(call, status);
  } else {
    cleanup_free char *text = read_path(call->pid_file, 64, NULL, &call->error);
    call->pid = text ? atoi(text) : 0;
    if (text && call->pid <= 1) error_set(&call->error, "internal", "the runtime's pid file holds no pid");
    if (call->terminal && !call->error.code) call->out = receive_terminal(call->console, &call->error);
  }
  if (call->console >= 0) close(call->console);
  call->console = -1;
  call->done(call->context, call);
}

int runtime_start(struct runtime *runtime, struct runtime_call *call, const char *const verb[],
                  const char *const rest[], bool terminal, bool open_stdin,
                  void (*done)(void *context, struct runtime_call *call), void *context, struct error *error) {
  unsigned number = runtime->calls++;
  if (runtime->folder_fd <= 0) runtime->folder_fd = open(runtime->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
  *call = (struct runtime_call){
      .runtime = runtime, .terminal = terminal, .done = done, .context = context,
      .console = -1, .in = -1, .out = -1, .err = -1,
      .pid_file = xprintf("%s/pid-%u", runtime->folder, number),
      .log_file = xprintf("%s/log-%u", runtime->folder, number),
      .console_path = xprintf("/proc/%d/fd/%d/tty-%u", (int)getpid(), runtime->folder_fd, number),
  };
  struct arguments arguments = {0};
  add_all(&arguments, (const char *const[]){runtime->program, "--root", runtime->root, "--log", call->log_file,
                                            "--log-format", is_crun(runtime) ? "text" : "json", NULL});
  add_all(&arguments, verb);
  add_all(&arguments, (const char *const[]){"--detach", "--pid-file", call->pid_file, NULL});
  if (terminal) add_all(&arguments, (const char *const[]){"--console-socket", call->console_path, NULL});
  add_all(&arguments, rest);

  cleanup_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1};
  bool ready = null >= 0;
  if (terminal) {
    ready = ready && (call->console = listen_for_terminal(call->console_path, error)) >= 0;
  } else {
    ready = ready && pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0 && (!open_stdin || pipe2(in, O_CLOEXEC) == 0);
  }
  pid_t child = ready ? fork() : -1;
  if (child == 0)
    child_exec(runtime, &arguments, in[0] >= 0 ? in[0] : null, out[1] >= 0 ? out[1] : null, err[1] >= 0 ? err[1] : null);
  if (child < 0 && !(error && error->code)) error_errno(error, "start %s", runtime->program);
  if (in[0] >= 0) close(in[0]);
  if (out[1] >= 0) close(out[1]);
  if (err[1] >= 0) close(err[1]);
  call->in = in[1];
  call->out = out[0];
  call->err = err[0];
  if (child < 0) {
    runtime_call_free(call);
    return -1;
  }
  loop_child(runtime->loop, &call->child, child, on_exit_of_runtime, call);
  return 0;
}

void runtime_call_free(struct runtime_call *call) {
  if (!call->runtime) return;
  int *descriptors[] = {&call->in, &call->out, &call->err, &call->console};
  for (size_t i = 0; i < countof(descriptors); i++)
    if (*descriptors[i] >= 0) close(*descriptors[i]);
  unlink(call->pid_file);
  unlink(call->log_file);
  if (call->terminal) unlink(call->console_path);
  free(call->pid_file);
  free(call->log_file);
  free(call->console_path);
  *call = (struct runtime_call){.in = -1, .out = -1, .err = -1, .console = -1};
}

bool runtime_late_error(const struct runtime_call *call, struct error *error) {
  cleanup_free char *message = call->log_file ? last_message(call->log_file) : NULL;
  if (!message) return false;
  classify(message, error);
  return true;
}

int runtime_exec_failure(const char *text) {
  if (strncmp(text, "exec container process ", 23) != 0 && !(strncmp(text, "exec /", 6) == 0 && strchr(text, ':'))) return 0;
  struct error error = {0};
  classify(text, &error);
  return error.exit_status;
}

int runtime_wait(struct runtime *runtime, const char *const rest[]) {
  struct arguments arguments = {0};
  add_all(&arguments, (const char *const[]){runtime->program, "--root", runtime->root, NULL});
  add_all(&arguments, rest);
  cleanup_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  pid_t child = fork();
  if (child == 0) child_exec(runtime, &arguments, null, null, null);
  int status = -1;
  while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  return child < 0 ? -1 : exit_code_of(status);
}
