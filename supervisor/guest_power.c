#include <sys/reboot.h>
#include <unistd.h>

#include "guest.h"
#include "guest_cgroup.h"
#include "util.h"

enum { flush_ms = 1000 };

static void halt(struct guest *guest) {
  struct error error = {0};
  for (struct workload *workload = guest->workloads; workload; workload = workload->next) {
    struct error one = {0};
    if (rootfs_unmount(&workload->rootfs, &one) < 0) {
      complain("%s", one.message);
      error = one;
    }
  }
  sync();
  if (guest->power_link) {
    if (error.code)
      finish_error(guest->power_link, &error);
    else
      finish_ok(guest->power_link, NULL);
    mux_server_flush(guest->server, flush_ms);
  }
  /* QEMU is started with -no-reboot: a reset ends it, and sooner than ACPI does. */
  reboot(RB_AUTOBOOT);
  _exit(0);
}

static void out_of_time(void *context) {
  complain("some processes did not end: halting without them");
  halt(context);
}

void guest_end_step(struct guest *guest) {
  if (!guest->ending) return;
  for (struct workload *workload = guest->workloads; workload; workload = workload->next) {
    if (workload_is_still(workload)) continue;
    workload_kill(workload);
    return;
  }
  halt(guest);
}

/* A process that nobody registered may be the last one to die: nothing tells of it. */
static void look_again(void *context) {
  struct guest *guest = context;
  if (monotonic_ms() > guest->power_deadline) out_of_time(guest);
  loop_timer(guest->loop, &guest->power_timer, 2, look_again, guest);
  guest_end_step(guest);
}

void guest_end(struct guest *guest, struct link *link, int64_t timeout) {
  if (guest->ending) {
    if (link) finish_ok(link, NULL);
    return;
  }
  guest->ending = true;
  guest->power_link = link;
  guest->power_deadline = monotonic_ms() + timeout;
  loop_timer(guest->loop, &guest->power_timer, 0, look_again, guest);
}

void guest_poweroff(struct wall *wall, struct link *link, const struct request *request) {
  guest_end((struct guest *)wall, link, request->timeout);
}
