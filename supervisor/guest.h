/*
 * The guest's supervisor: PID 1 of a VM's kernel. It mounts what every workload needs, answers the host on one
 * virtio-serial port and applies OCI specs itself. What it trusts: the host. What it does not: the workloads.
 */
#pragma once
#include <stdbool.h>

#include "guest_process.h"
#include "guest_rootfs.h"
#include "loop.h"
#include "mux_link.h"
#include "session.h"

enum { GUEST_WORKLOADS_MAX = 64, GUEST_EXECS_MAX = 256, GUEST_FILE_HELPERS_MAX = 32 };

enum workload_state { WORKLOAD_MOUNTED, WORKLOAD_STARTING, WORKLOAD_RUNNING, WORKLOAD_PAUSED, WORKLOAD_EXITED };

/* One root file system and, from `start` on, the processes in it. */
struct workload {
  struct workload *next;
  struct guest *guest;
  char *id;
  int64_t generation;
  enum workload_state state;
  struct rootfs rootfs;
  json_t *spec; /* the WorkloadSpec, owned */
  void *filter; /* struct sock_filter[], owned; NULL: none */
  size_t filter_length; /* bytes */
  int cgroup;           /* its folder, -1: none yet */
  int oom_fd;           /* memory.events, -1: none */
  struct watch oom_watch;
  uint64_t oom_kills;
  struct process main;
  struct exec *execs;
  unsigned file_helpers;
};

/* A process that a client started beside the first one. */
struct exec {
  struct exec *next;
  struct workload *workload;
  char *id;
  json_t *spec; /* the ExecSpec, owned */
  struct process process;
};

struct guest {
  struct wall wall; /* first: verbs get the guest by a cast */
  struct loop *loop;
  struct mux_server *server;
  struct workload *workloads;
  int own_pid_namespace;
  bool configured;
  bool shares;
  struct link *power_link; /* who asked for the end */
  bool ending;
  struct timer power_timer;
  int64_t power_deadline; /* monotonic ms */
};

/* guest_boot.c */

/* Folders, file systems and a root that pivot_root(2) can leave. */
int guest_mount_all(struct error *error);
/* Loads the modules of one group of the initramfs's list ("disk", "net"); again: nothing. */
int guest_load_modules(const char *group, struct error *error);
/* What the initramfs holds goes, but for this program: its memory is the guest's. */
void guest_drop_initramfs(void);
/* Opens the virtio-serial port `name` and waits until the host has it open too. */
int guest_open_port(const char *name, int timeout, struct error *error);

/* guest_configure.c */
int guest_configure(struct guest *guest, const json_t *body, struct error *error);

/* guest_network.c: brings `lo` up, and the one network card with what the host gave. */
int guest_network(const json_t *network, struct error *error);

/* guest_workload.c */
struct workload *workload_find(struct guest *guest, const char *id, struct error *error);
/* The named workload, made when it is not there. */
struct workload *workload_make(struct guest *guest, const char *id, struct error *error);
struct exec *exec_find(struct workload *workload, const char *id, struct error *error);
/* Ends all of its processes at once. */
void workload_kill(struct workload *workload);
/* No process of it runs, none is being started. */
bool workload_is_still(const struct workload *workload);

/* The verbs: guest_workload.c, guest_exec.c, guest_control.c, guest_files.c, guest_power.c. */
void guest_start(struct wall *, struct link *, const struct request *);
void guest_mount_rootfs(struct wall *, struct link *, const struct request *);
void guest_exec(struct wall *, struct link *, const struct request *);
void guest_signal(struct wall *, struct link *, const struct request *);
void guest_resize(struct wall *, struct link *, const struct request *);
void guest_pause(struct wall *, struct link *, const struct request *);
void guest_resume(struct wall *, struct link *, const struct request *);
void guest_stats(struct wall *, struct link *, const struct request *);
void guest_stat(struct wall *, struct link *, const struct request *);
void guest_archive_read(struct wall *, struct link *, const struct request *);
void guest_archive_write(struct wall *, struct link *, const struct request *);
void guest_poweroff(struct wall *, struct link *, const struct request *);
/* Ends the guest in order; the link may be NULL. */
void guest_end(struct guest *guest, struct link *link, int64_t timeout);
/* To be called when a process has ended while the guest is ending. */
void guest_end_step(struct guest *guest);
