#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util.h"

#define MEMORY_LIMIT (UINT64_C(2) << 30)
#define FILES_LIMIT 4096

const uint64_t confine_archive_capabilities = CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_FOWNER) |
                                              CAP_BIT(CAP_FSETID) | CAP_BIT(CAP_MKNOD) | CAP_BIT(CAP_SETFCAP);

int confine_namespaces(struct error *error) {
  if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
    return error_errno(error, "namespaces cannot be made");
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 && errno != EINVAL)
    return error_errno(error, "mounts cannot be made private");
  return 0;
}

int confine_root(const char *folder, bool *pivoted, struct error *error) {
  if (chdir(folder) < 0) return error_errno(error, "folder %s cannot be entered", folder);
  bool done = syscall(SYS_pivot_root, ".", ".") == 0;
  if (!done && mount(folder, folder, NULL, MS_BIND, NULL) == 0) {
    /* It was no mount point: now it is. */
    if (chdir(folder) < 0) return error_errno(error, "folder %s cannot be entered", folder);
    done = syscall(SYS_pivot_root, ".", ".") == 0;
  }
  if (done && umount2(".", MNT_DETACH) < 0) return error_errno(error, "the old root cannot be let go");
  if (!done && chroot(".") < 0) return error_errno(error, "folder %s cannot become the root", folder);
  if (chdir("/") < 0) return error_errno(error, "the new root cannot be entered");
  if (pivoted) *pivoted = done;
  return 0;
}

static int compare_ints(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

int confine_descriptors(const int *keep, unsigned count, struct error *error) {
  int sorted[16];
  if (count > countof(sorted)) return error_set(error, "internal", "too many descriptors to keep");
  for (unsigned i = 0; i < count; i++)
    sorted[i] = keep[i];
  qsort(sorted, count, sizeof *sorted, compare_ints);
  unsigned from = 3;
  for (unsigned i = 0; i <= count; i++) {
    if (i < count && sorted[i] < 0) continue; /* none there */
    unsigned to = i < count ? (unsigned)sorted[i] : ~0u;
    if (to < from) continue;
    if ((i == count || to > from) && syscall(SYS_close_range, from, i == count ? to : to - 1, 0) < 0)
      return error_errno(error, "descriptors cannot be closed");
    from = to + 1;
  }
  return 0;
}

/* Lowers a limit to `value`; never raises the hard one. */
static int limit(int what, uint64_t value, struct error *error) {
  struct rlimit now;
  if (getrlimit(what, &now) < 0) return error_errno(error, "a limit cannot be read");
  rlim_t most = now.rlim_max < value ? now.rlim_max : value;
  struct rlimit next = {most, most};
  return setrlimit(what, &next) < 0 ? error_errno(error, "a limit cannot be set") : 0;
}

int confine_privileges(uint64_t capabilities, struct error *error) {
  if (limit(RLIMIT_CORE, 0, error) < 0 || limit(RLIMIT_NOFILE, FILES_LIMIT, error) < 0 ||
      limit(RLIMIT_AS, MEMORY_LIMIT, error) < 0)
    return -1;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return error_errno(error, "no_new_privs cannot be set");
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
    if (!(capabilities & CAP_BIT(capability)) && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
      return error_errno(error, "the bounding set cannot be reduced");
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) < 0) return error_errno(error, "capabilities cannot be read");
  for (unsigned i = 0; i < 2; i++) {
    data[i].permitted &= (uint32_t)(capabilities >> (32 * i));
    data[i].effective = data[i].permitted;
    data[i].inheritable = 0;
  }
  return syscall(SYS_capset, &header, data) < 0 ? error_errno(error, "capabilities cannot be dropped") : 0;
}
