#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "container.h"
#include "io_link.h"
#include "util.h"

struct exec {
  struct container *container;
  struct exec *next;
  char *name, *process_file;
  bool terminal, open_stdin;
  pid_t pid;
  uint16_t rows, columns; /* asked for before it ran */
  struct child child;
  struct runtime_call call;
  struct link *link; /* until the session has it */
  struct io_link session;
};

struct exec *container_find_exec(struct container *container, const char *name) {
  for (struct exec *exec = container->execs; exec; exec = exec->next)
    if (strcmp(exec->name, name) == 0) return exec;
  return NULL;
}

int exec_signal(struct exec *exec, int number, struct error *error) {
  if (exec->pid <= 0) return error_set(error, "conflict", "exec %.64s does not run", exec->name);
  if (kill(exec->pid, number) < 0) return error_errno(error, "signal %d to exec %.64s", number, exec->name);
  return 0;
}

void exec_resize(struct exec *exec, uint16_t rows, uint16_t columns) {
  exec->rows = rows;
  exec->columns = columns;
  io_resize(&exec->session.io, rows, columns);
}

static void forget(struct exec *exec) {
  struct container *container = exec->container;
  for (struct exec **place = &container->execs; *place; place = &(*place)->next)
    if (*place == exec) {
      *place = exec->next;
      break;
    }
  if (exec->process_file) unlink(exec->process_file);
  runtime_call_free(&exec->call);
  free(exec->process_file);
  free(exec->name);
  free(exec);
  if (container->closing && !container->execs) container_close(container, "");
}

static void done(void *context) {
  struct exec *exec = context;
  io_link_close(&exec->session);
  forget(exec);
}

static void on_signal(void *context, int number) {
  struct exec *exec = context;
  if (exec->pid > 0) kill(exec->pid, number);
}

static void exited(void *context, int status) {
  struct exec *exec = context;
  struct error error = {0};
  int code = exit_code_of(status);
  if (WIFEXITED(status) && runtime_late_error(&exec->call, &error) && error.exit_status) code = error.exit_status;
  exec->pid = 0;
  io_link_exited(&exec->session, code, false);
}

static void fail(struct exec *exec, const struct error *error) {
  struct link *link = exec->link;
  forget(exec);
  if (link) finish_error(link, error);
}

static void link_gone(struct link *link) { ((struct exec *)link->owner)->link = NULL; }

static void started(void *context, struct runtime_call *call) {
  struct exec *exec = context;
  if (call->error.code) {
    struct error error = call->error;
    fail(exec, &error);
    return;
  }
  exec->pid = call->pid;
  exec->session.on_signal = on_signal;
  exec->session.on_done = done;
  exec->session.context = exec;
  struct loop *loop = exec->container->loop;
  struct link *link = exec->link;
  exec->link = NULL;
  if (link) reply_ok(link, json_pack("{s:i}", "pid", (int)call->pid));
  io_link_start(&exec->session, loop, link, exec->terminal, take_fd(&call->in), take_fd(&call->out),
                take_fd(&call->err));
  if (link) link_pause(link, false);
  if (exec->rows && exec->columns) io_resize(&exec->session.io, exec->rows, exec->columns);
  loop_child(loop, &exec->child, call->pid, exited, exec);
}

static int begin(struct exec *exec, const json_t *spec, struct error *error) {
  struct container *container = exec->container;
  json_t *process;
  const char *user;
  if (need_object(spec, "process", &process, error) < 0 || need_string(spec, "user", &user, error) < 0) return -1;
  cleanup_fd int root = container_root(container, error);
  if (root < 0 || container_set_user(root, process, user, error) < 0) return -1;
  exec->terminal = want_bool(process, "terminal", false);
  exec->open_stdin = want_bool(spec, "openStdin", false);
  exec->process_file = xprintf("%s/process-%u", container->runtime.folder, container->runtime.calls);
  if (container_write_json(exec->process_file, process, error) < 0) return -1;
  return runtime_start(&container->runtime, &exec->call, (const char *const[]){"exec", NULL},
                       (const char *const[]){"--process", exec->process_file, container->id, NULL}, exec->terminal,
                       exec->open_stdin, started, exec, error);
}

void container_exec(struct wall *wall, struct link *link, const struct request *request) {
  struct container *container = container_of(wall);
  struct error error = {0};
  if (container_check(container, request, true, &error) == 0) {
    if (container->paused)
      error_set(&error, "conflict", "the instance is paused; unpause it first");
    else if (container_find_exec(container, request->exec))
      error_set(&error, "exists", "exec %.64s is there already", request->exec);
  }
  if (error.code) {
    finish_error(link, &error);
    return;
  }
  struct exec *exec = xzalloc(sizeof *exec);
  exec->container = container;
  exec->name = xstrdup(request->exec);
  exec->link = link;
  exec->next = container->execs;
  container->execs = exec;
  link->owner = exec;
  link->on_closed = link_gone;
  link_pause(link, true); /* input waits for the process */
  if (begin(exec, request->spec, &error) < 0) fail(exec, &error);
}
