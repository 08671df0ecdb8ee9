/*
 * The shim of one host container. One workload: its overlay, its crun container, its streams, log and exit file.
 *
 *   container_main.c   namespace, configuration, socket, readiness
 *   container_start.c  start: overlay, bundle, crun run
 *   container_end.c    exit, exit file, events, closing of the sandbox
 *   container_exec.c   exec
 *   container_files.c  stat and archives, in a child
 *   container_verbs.c  hello, events, attach, signal, resize, pause, stats, shutdown
 */
#pragma once
#include "host_cgroup.h"
#include "fanout.h"
#include "process_io.h"
#include "runtime.h"
#include "server.h"
#include "session.h"

enum container_state { CONTAINER_CREATED, CONTAINER_STARTING, CONTAINER_RUNNING, CONTAINER_ENDING, CONTAINER_EXITED };

struct exec;
struct subscriber;

struct container {
  struct wall wall; /* first: the verbs cast it back */
  struct loop *loop;
  struct server *server;
  struct runtime runtime;
  char *id;     /* the sandbox's, and crun's name for the container */
  char *folder; /* run folder */

  enum container_state state;
  bool paused, closing, shutdown_asked, terminal;
  char *workload, *exit_file, *rootfs; /* rootfs: where the overlay is mounted, NULL when it is not */
  int64_t generation;
  bool open_stdin, stdin_once;
  struct link *start_link; /* waits for its reply */
  struct runtime_call start_call;
  pid_t init;
  struct child init_child;
  struct process_io io;
  struct fanout fanout;
  struct log *log;
  int64_t log_dropped;
  struct cgroup cgroup;
  int oom_fd;
  struct watch oom_watch;
  int64_t oom_kills;
  int exit_code;
  /* The first of what came on standard error (or the terminal), while it is short. */
  char first_words[512];
  size_t words_length;
  json_t *exit; /* ExitRecord once it has ended */
  struct exec *execs;
  struct subscriber *subscribers;
  struct timer patience;
};

static inline struct container *container_of(struct wall *wall) { return (struct container *)wall; }

/* Fails when the request's workload is not this one, or (with `running`) does not run. */
int container_check(struct container *container, const struct request *request, bool running, struct error *error);
/* Sends an event to all who listen; takes over the reference. */
void container_event(struct container *container, json_t *event);
/* Writes process.user and HOME into an OCI process, looked up in `root`. */
int container_set_user(int root, json_t *process, const char *user, struct error *error);
/* Writes a JSON document to a new file (0600). */
int container_write_json(const char *path, const json_t *document, struct error *error);
/* Descriptor of the running workload's root, mounts included. */
int container_root(struct container *container, struct error *error);
/* The first process has been reaped. */
void container_init_exited(void *context, int status);
/* Its output has all been read. */
void container_drained(void *context);
/* Looks for processes killed for lack of memory, and reports them. */
void container_check_oom(struct container *container);
/* Ends the sandbox when nothing runs any more: crun delete, overlay, socket, exit. */
void container_close(struct container *container, const char *reason);
/* Takes the overlay away; no error when there is none. */
void container_unmount(struct container *container);
/* An exec of this name, or NULL. */
struct exec *container_find_exec(struct container *container, const char *name);
int exec_signal(struct exec *exec, int signal, struct error *error);
void exec_resize(struct exec *exec, uint16_t rows, uint16_t columns);

void container_hello(struct wall *wall, struct link *link, const struct request *request);
void container_events(struct wall *wall, struct link *link, const struct request *request);
void container_start(struct wall *wall, struct link *link, const struct request *request);
void container_attach(struct wall *wall, struct link *link, const struct request *request);
void container_exec(struct wall *wall, struct link *link, const struct request *request);
void container_signal(struct wall *wall, struct link *link, const struct request *request);
void container_resize(struct wall *wall, struct link *link, const struct request *request);
void container_pause(struct wall *wall, struct link *link, const struct request *request);
void container_resume(struct wall *wall, struct link *link, const struct request *request);
void container_stats(struct wall *wall, struct link *link, const struct request *request);
void container_stat(struct wall *wall, struct link *link, const struct request *request);
void container_archive_read(struct wall *wall, struct link *link, const struct request *request);
void container_archive_write(struct wall *wall, struct link *link, const struct request *request);
void container_shutdown(struct wall *wall, struct link *link, const struct request *request);
