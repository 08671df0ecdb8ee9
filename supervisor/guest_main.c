#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <unistd.h>

#include "guest.h"
#include "guest_cgroup.h"
#include "modes.h"
#include "util.h"

/* The host's end is gone: nobody can reach the workloads any more, so what they wrote is brought to safety. */
static void lost(void *context, const char *why) {
  struct guest *guest = context;
  complain("the host has gone%s%s: powering off", why ? ": " : "", why ? why : "");
  guest_end(guest, NULL, 2000);
}

static void configure(struct wall *wall, struct link *link, const struct request *request) {
  struct error error = {0};
  if (guest_configure((struct guest *)wall, request->body, &error) < 0)
    finish_error(link, &error);
  else
    finish_ok(link, NULL);
}

static const char *const state_names[] = {"created", "created", "running", "paused", "exited"};

static void hello(struct wall *wall, struct link *link, const struct request *request) {
  (void)request;
  struct guest *guest = (struct guest *)wall;
  json_t *workloads = json_array();
  for (struct workload *workload = guest->workloads; workload; workload = workload->next)
    json_array_append_new(workloads, json_pack("{s:s, s:I, s:s, s:i}", "id", workload->id, "generation",
                                               (json_int_t)workload->generation, "state",
                                               state_names[workload->state], "pid", (int)workload->main.pid));
  finish_ok(link, json_pack("{s:s, s:o}", "version", GANTRY_VERSION, "workloads", workloads));
}

static const struct wall verbs = {
    .hello = hello,
    .start = guest_start,
    .exec = guest_exec,
    .signal = guest_signal,
    .resize = guest_resize,
    .pause = guest_pause,
    .resume = guest_resume,
    .stats = guest_stats,
    .stat = guest_stat,
    .archive_read = guest_archive_read,
    .archive_write = guest_archive_write,
    .configure = configure,
    .mount_rootfs = guest_mount_rootfs,
    .poweroff = guest_poweroff,
};

/* What a process gets that says nothing of limits: Docker's numbers. */
static void set_limits(void) {
  setrlimit(RLIMIT_NOFILE, &(struct rlimit){1024, 524288});
  setrlimit(RLIMIT_NPROC, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
  setrlimit(RLIMIT_CORE, &(struct rlimit){0, RLIM_INFINITY});
  /* The kernel would keep up to 64 MiB free for huge pages; the machine's memory is sized for its workload. */
  write_path("/proc/sys/vm/min_free_kbytes", "4096", NULL);
}

static void fail(const struct error *error) {
  complain("the guest cannot start: %s", error->message);
  sync();
  reboot(RB_POWER_OFF);
  _exit(1);
}

int guest_main(int argc, char **argv) {
  (void)argc, (void)argv;
  struct error error = {0};
  static struct guest guest = {.wall = verbs};
  /* The kernel's arguments are of no use to a workload. */
  clearenv();
  setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
  prctl(PR_SET_DUMPABLE, 0);
  if (guest_mount_all(&error) < 0) fail(&error);
  int port = guest_open_port("gantry.agent", 120000, &error);
  if (port < 0) fail(&error);
  guest.own_pid_namespace = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
  guest.loop = loop_new();
  guest.server = mux_server_new(guest.loop, port, &guest.wall, lost, &guest);
  mux_server_event(guest.server, json_pack("{s:s, s:s}", "event", "up", "version", GANTRY_VERSION));
  mux_server_flush(guest.server, 1000);
  /* The host now sends what comes next; meanwhile the rest is made ready. */
  set_limits();
  if (guest_load_modules("disk", &error) < 0 || guest_cgroup_mount(&error) < 0) fail(&error);
  loop_run(guest.loop);
  return 0;
}
