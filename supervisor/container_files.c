/* Files of a running workload: each request in a child with few rights, so that a slow or hostile tree blocks nobody. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "archive.h"
#include "confine.h"
#include "container.h"
#include "io_link.h"
#include "util.h"

enum files_op { FILES_STAT, FILES_READ, FILES_WRITE };
enum { answer_limit = 256 << 10 };

struct files {
  struct container *container;
  enum files_op op;
  struct child child;
  bool exited, answered;
  int status;
  pid_t pid;
  /* What the child answers first, as JSON; then the session begins. */
  int answer;
  struct watch answer_watch;
  struct buffer text;
  int in, out, err;
  struct link *link;
  struct io_link session;
};

static void answer_error(int fd, const struct error *error) {
  cleanup_json json_t *answer = error_to_json(error);
  cleanup_free char *text = json_dumps(answer, JSON_COMPACT);
  (void)!write_all(fd, text, strlen(text));
}

/* The child: answers on `answer`, then moves the archive; its message and status go to the session. */
static _Noreturn void serve(enum files_op op, int root, const char *path, int answer, int in, int out, int err) {
  struct error error = {0};
  loop_child_unblock();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  int keep[] = {root, answer, err, op == FILES_WRITE ? in : out};
  unsigned kept = op == FILES_STAT ? 3 : 4;
  if (fchdir(root) < 0 || chroot(".") < 0 || confine_descriptors(keep, kept, &error) < 0 ||
      confine_privileges(confine_archive_capabilities, &error) < 0 || confine_syscalls(&error) < 0) {
    answer_error(answer, &error);
    _exit(1);
  }
  if (op != FILES_WRITE) {
    cleanup_json json_t *stat = archive_stat(root, path, &error);
    if (!stat) {
      answer_error(answer, &error);
      _exit(1);
    }
    cleanup_json json_t *wrapped = op == FILES_READ ? json_pack("{s:O}", "stat", stat) : json_incref(stat);
    cleanup_free char *text = json_dumps(wrapped, JSON_COMPACT);
    if (!text || write_all(answer, text, strlen(text)) < 0) _exit(1);
  } else {
    if (write_all(answer, "{}", 2) < 0) _exit(1);
  }
  close(answer);
  int result = 0;
  if (op == FILES_READ) result = archive_write_tar(root, path, out, &error);
  if (op == FILES_WRITE) result = archive_read_tar(root, path, in, NULL, ARCHIVE_KEEP_FOLDERS, NULL, &error);
  if (result < 0) (void)!write_all(err, error.message, strlen(error.message));
  _exit(result < 0 ? 1 : 0);
}

static void release(struct files *files) {
  loop_unwatch(files->container->loop, &files->answer_watch);
  if (files->answer >= 0) close(files->answer);
  if (files->in >= 0) close(files->in);
  if (files->out >= 0) close(files->out);
  if (files->err >= 0) close(files->err);
  buffer_free(&files->text);
  if (files->exited) {
    free(files);
  } else {
    kill(files->pid, SIGKILL);
    files->answered = false; /* freed when it has been reaped */
  }
}

static void child_exited(void *context, int status) {
  struct files *files = context;
  files->exited = true;
  files->status = exit_code_of(status);
  if (files->answered)
    io_link_exited(&files->session, files->status, false);
  else if (files->answer < 0)
    free(files); /* released before */
}

static void done(void *context) {
  struct files *files = context;
  io_link_close(&files->session);
  release(files);
}

/* The client of an archive is gone: so is the point of it. */
static void on_gone(struct link *link) { ((struct files *)link->owner)->link = NULL; }

static void answered(struct files *files) {
  struct error error = {0};
  loop_unwatch(files->container->loop, &files->answer_watch);
  close(files->answer);
  files->answer = -1;
  struct link *link = files->link;
  size_t length = buffer_length(&files->text);
  cleanup_json json_t *answer = length ? json_object_parse(buffer_data(&files->text), length, &error) : NULL;
  if (!link || !answer || files->op == FILES_STAT || json_object_get(answer, "error")) {
    if (link && answer) {
      finish_ok(link, json_incref(answer));
    } else if (link) {
      error_set(&error, "internal", "the file helper ended without an answer");
      finish_error(link, &error);
    }
    release(files);
    return;
  }
  reply_ok(link, json_incref(answer));
  files->answered = true;
  files->session.on_done = done;
  files->session.context = files;
  io_link_start(&files->session, files->container->loop, link, false, take_fd(&files->in), take_fd(&files->out),
                take_fd(&files->err));
  link_pause(link, false);
  if (files->exited) io_link_exited(&files->session, files->status, false);
}

static void on_answer(void *context, uint32_t events) {
  (void)events;
  struct files *files = context;
  ssize_t got = read(files->answer, buffer_reserve(&files->text, 4096), 4096);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (got > 0) buffer_added(&files->text, (size_t)got);
  if (got <= 0 || buffer_length(&files->text) > answer_limit) answered(files);
}

static void close_pair(const int pair[2]) {
  if (pair[0] >= 0) close(pair[0]);
  if (pair[1] >= 0) close(pair[1]);
}

static void begin(struct wall *wall, struct link *link, const struct request *request, enum files_op op) {
  struct container *container = container_of(wall);
  struct error error = {0};
  int answer[2] = {-1, -1}, in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1};
  cleanup_fd int root = -1;
  pid_t child = -1;
  if (container_check(container, request, true, &error) == 0 && (root = container_root(container, &error)) >= 0) {
    bool ready = pipe2(answer, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0 &&
                 (op != FILES_WRITE || pipe2(in, O_CLOEXEC) == 0) && (op != FILES_READ || pipe2(out, O_CLOEXEC) == 0);
    child = ready ? fork() : -1;
    if (child < 0) error_errno(&error, "start the file helper");
  }
  if (child == 0) {
    if (in[1] >= 0) close(in[1]); /* or it would wait for its own end */
    serve(op, root, request->path, answer[1], in[0], out[1], err[1]);
  }
  if (child < 0) {
    close_pair(answer);
    close_pair(in);
    close_pair(out);
    close_pair(err);
    finish_error(link, &error);
    return;
  }
  close(answer[1]);
  close(err[1]);
  if (in[0] >= 0) close(in[0]);
  if (out[1] >= 0) close(out[1]);
  struct files *files = xzalloc(sizeof *files);
  *files = (struct files){.container = container, .op = op, .pid = child, .answer = answer[0], .in = in[1],
                          .out = out[0], .err = err[0], .link = link};
  link->owner = files;
  link->on_closed = on_gone;
  link_pause(link, true);
  loop_child(container->loop, &files->child, child, child_exited, files);
  loop_watch(container->loop, &files->answer_watch, files->answer, EPOLLIN, on_answer, files);
}

void container_stat(struct wall *wall, struct link *link, const struct request *request) {
  begin(wall, link, request, FILES_STAT);
}
void container_archive_read(struct wall *wall, struct link *link, const struct request *request) {
  begin(wall, link, request, FILES_READ);
}
void container_archive_write(struct wall *wall, struct link *link, const struct request *request) {
  begin(wall, link, request, FILES_WRITE);
}
