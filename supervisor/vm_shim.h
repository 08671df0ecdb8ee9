/*
 * The shim of one VM: what its parts share. The life of a VM is a line of phases:
 *
 *   booting -> open (guest said `up`, was configured) -> closing (guest powers off) -> gone (QEMU reaped)
 *
 *   vm_main.c      configuration, readiness, end          vm_wall.c      the verbs of the host socket
 *   vm_boot.c      QEMU up, watchdog, retry, configure     vm_relay.c     conversations that the guest answers
 *   vm_channel.c   the agent channel                      vm_workload.c  main workloads: log, fan-out, exit file
 *   vm_end.c       poweroff, QEMU's death, clean-up       vm_qmp.c, vm_console.c, vm_share.c
 */
#pragma once
#include "exitfile.h"
#include "fanout.h"
#include "loop.h"
#include "mux.h"
#include "server.h"
#include "session.h"
#include "vm_cgroup.h"
#include "vm_config.h"
#include "vm_console.h"
#include "vm_qmp.h"

enum vm_phase { VM_BOOTING, VM_OPEN, VM_CLOSING, VM_GONE };

struct vm_workload;
struct vm_relay;
struct vm_listener;

struct vm {
  struct wall wall; /* first: the verbs get a pointer to it */
  struct loop *loop;
  struct vm_config config;
  struct vm_cgroup cgroup;
  enum vm_phase phase;
  struct server *server;
  /* QEMU and its channels. */
  pid_t qemu, virtiofsd;
  struct child qemu_child, virtiofsd_child;
  struct vm_console console;  /* the serial port */
  struct vm_console messages; /* standard error of QEMU and virtiofsd */
  struct vm_qmp qmp;
  struct mux *mux;
  int agent; /* the mux's descriptor */
  struct watch agent_watch;
  /* The one request on stream 0 that has no reply yet. */
  void (*answered)(struct vm *vm, const json_t *reply);
  struct timer watchdog;
  struct timer halt; /* until QEMU is killed in spite of a silent guest */
  int64_t tries_left, spawned, boot_ms;
  bool up, boot_again;
  char *boot_problem;
  char *reason; /* why the sandbox ends, for `closing` and the log */
  /* What clients see. */
  struct vm_workload *workloads;
  struct vm_relay *relays;
  struct vm_listener *listeners;
};

/* vm_boot.c: one attempt; later ones follow by themselves. -1: nothing was started. */
int vm_boot(struct vm *vm, struct error *error);
/* The guest said `up`. */
void vm_boot_up(struct vm *vm);
/* This attempt is lost: QEMU is killed; when it is reaped another attempt follows if `again`, else the end. */
void vm_boot_failed(struct vm *vm, bool again, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* QEMU was reaped while booting. */
void vm_boot_ended(struct vm *vm, int status);

/* vm_channel.c */
void vm_channel_open(struct vm *vm, int fd);
/* Not from within a callback of the mux. */
void vm_channel_close(struct vm *vm);
/* After anything was sent from outside the channel's own callbacks. */
void vm_channel_wake(struct vm *vm);
/* A request on stream 0; takes over the reference. `answered` gets the reply, borrowed; one at a time. */
void vm_channel_ask(struct vm *vm, json_t *request, void (*answered)(struct vm *vm, const json_t *reply));

/* Whoever a stream of the channel belongs to (mux_user): a relay or a workload. */
struct vm_stream_owner {
  void (*frame)(struct vm_stream_owner *owner, uint8_t type, const uint8_t *payload, size_t length);
  void (*writable)(struct vm_stream_owner *owner);
};

/* vm_relay.c: passes the request to the guest and then frames both ways. `replied` may be NULL. */
void vm_relay(struct vm *vm, struct link *client, const struct request *request,
              void (*replied)(struct vm *vm, const char *workload, const json_t *reply));
/* The guest is gone: clients get an error or exit 137. */
void vm_relays_end(struct vm *vm);

/* vm_workload.c */
void vm_workload_attach(struct vm *vm, struct link *client, const struct request *request);
void vm_workload_start(struct vm *vm, struct link *client, const struct request *request);
/* Early resize of a workload that has not started; false when it has. */
bool vm_workload_resize_early(struct vm *vm, const struct request *request);
void vm_workload_paused(struct vm *vm, const char *id, bool paused);
json_t *vm_workloads_state(struct vm *vm);
bool vm_workload_known(struct vm *vm, const char *id);
/* The guest is gone: what still ran ends with 137. */
void vm_workloads_end(struct vm *vm);
void vm_workloads_free(struct vm *vm);

bool vm_workload_any_running(struct vm *vm);

/* vm_wall.c */
void vm_wall_init(struct vm *vm);
void vm_emit(struct vm *vm, json_t *event); /* to all that listen; takes over the reference */
void vm_listeners_end(struct vm *vm);

/* vm_end.c */
/* Ends the sandbox in order: the guest powers off within `timeout` ms, else QEMU is killed. Later calls only shorten. */
void vm_close(struct vm *vm, const char *reason, int64_t timeout);
void vm_kill(struct vm *vm);
void vm_qemu_died(void *context, int status);
/* Processes, cgroup and folders of this VM away; the program's exit follows. */
void vm_clean(struct vm *vm);
/* The reason, when none is known yet. */
void vm_because(struct vm *vm, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* vm_main.c */
void vm_say_ready(struct vm *vm);
void vm_fail(struct vm *vm, const struct error *error) __attribute__((noreturn)); /* before ready: says why, cleans, exits 1 */
