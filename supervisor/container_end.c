#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "container.h"
#include "exitfile.h"
#include "util.h"

enum { client_patience = 10000, exec_patience = 2000 };

void container_check_oom(struct container *container) {
  int64_t kills = host_cgroup_oom_kills(&container->cgroup);
  if (kills <= container->oom_kills) return;
  container->oom_kills = kills;
  container_event(container, json_pack("{s:s s:s}", "event", "oom", "workload", container->workload));
}

void container_init_exited(void *context, int status) {
  struct container *container = context;
  container->init = 0;
  container->state = CONTAINER_ENDING;
  container->exit_code = exit_code_of(status);
  container_check_oom(container);
  io_exited(&container->io);
}

static void no_more_execs(struct container *container);

void container_drained(void *context) {
  struct container *container = context;
  io_close(&container->io);
  bool may_be_runtime = container->exit_code == 1 || container->exit_code == 255;
  if (may_be_runtime && container->words_length < sizeof container->first_words) {
    int status = runtime_exec_failure(container->first_words);
    if (status) container->exit_code = status;
  }
  container->log_dropped = log_dropped(container->log);
  log_close(container->log);
  container->log = container->fanout.log = NULL;
  bool out_of_memory = container->oom_kills > 0;
  container->exit =
      exit_record(container->workload, container->generation, container->exit_code, out_of_memory, wall_ms());
  struct error error = {0};
  if (exitfile_write(container->exit_file, container->exit, &error) < 0) complain("%s", error.message);
  container->state = CONTAINER_EXITED;
  json_t *event = json_deep_copy(container->exit);
  json_object_set_new(event, "event", json_string("exit"));
  container_event(container, event);
  fanout_exit(&container->fanout, container->exit_code, out_of_memory);
  container_close(container, "workload ended");
}

static void leave(void *context) {
  struct container *container = context;
  loop_stop(container->loop);
}

static void give_up_execs(void *context) { no_more_execs(context); }

void container_close(struct container *container, const char *reason) {
  if (!container->closing) {
    container->closing = true;
    /* Before the listeners hear of the end, so that they find nothing left. */
    loop_unwatch(container->loop, &container->oom_watch);
    if (container->oom_fd >= 0) close(container->oom_fd);
    if (container->workload) {
      runtime_call_free(&container->start_call);
      if (runtime_wait(&container->runtime, (const char *const[]){"delete", "--force", container->id, NULL}) != 0)
        complain("%s delete failed", container->runtime.program);
    }
    container_unmount(container);
    container_event(container, json_pack("{s:s s:s}", "event", "closing", "reason", reason));
    loop_timer(container->loop, &container->patience, exec_patience, give_up_execs, container);
  }
  if (!container->execs) no_more_execs(container);
}

/* The last callers: execs that died with the container have passed their output on. */
static void no_more_execs(struct container *container) {
  if (!container->server) return;
  loop_timer_cancel(container->loop, &container->patience);
  struct server *server = container->server;
  container->server = NULL;
  server_close(server, client_patience, leave, container);
}
