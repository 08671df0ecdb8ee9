#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "files_session.h"
#include "guest.h"
#include "util.h"

/* The root that the workload's processes see, mounts included; without one, its disks. */
static int open_root(const struct workload *workload, struct error *error) {
  char path[40];
  snprintf(path, sizeof path, "/proc/%d/root", (int)workload->main.pid);
  bool runs = workload->main.pid > 0 && (workload->state == WORKLOAD_RUNNING || workload->state == WORKLOAD_PAUSED);
  const char *root = runs ? path : workload->rootfs.path;
  if (!root) return error_set(error, "conflict", "workload %.64s has no root file system mounted", workload->id);
  int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return fd < 0 ? error_errno(error, "open the root of workload %.64s", workload->id) : fd;
}

static void done(void *context) {
  struct workload *workload = context;
  workload->file_helpers--;
  guest_end_step(workload->guest);
}

static void begin(struct wall *wall, struct link *link, const struct request *request, enum files_op op) {
  struct guest *guest = (struct guest *)wall;
  struct error error = {0};
  struct workload *workload = guest->ending ? NULL : workload_find(guest, request->workload, &error);
  cleanup_fd int root = workload ? open_root(workload, &error) : -1;
  if (guest->ending) error_set(&error, "conflict", "the guest is ending");
  if (!error.code && workload->file_helpers >= GUEST_FILE_HELPERS_MAX)
    error_set(&error, "exhausted", "workload %.64s has %d transfers of files under way", workload->id,
              GUEST_FILE_HELPERS_MAX);
  if (error.code) {
    finish_error(link, &error);
    return;
  }
  workload->file_helpers++;
  files_session(guest->loop, link, root, request->path, op, done, workload);
}

void guest_stat(struct wall *wall, struct link *link, const struct request *request) {
  begin(wall, link, request, FILES_STAT);
}
void guest_archive_read(struct wall *wall, struct link *link, const struct request *request) {
  begin(wall, link, request, FILES_READ);
}
void guest_archive_write(struct wall *wall, struct link *link, const struct request *request) {
  begin(wall, link, request, FILES_WRITE);
}
