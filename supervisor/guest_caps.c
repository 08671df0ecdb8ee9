#include "guest_caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util.h"

/* By their kernel number. */
static const char *const names[] = {
    "CHOWN",          "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER",         "FSETID",         "KILL",
    "SETGID",         "SETUID",       "SETPCAP",         "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST",
    "NET_ADMIN",      "NET_RAW",      "IPC_LOCK",        "IPC_OWNER",      "SYS_MODULE",     "SYS_RAWIO",
    "SYS_CHROOT",     "SYS_PTRACE",   "SYS_PACCT",       "SYS_ADMIN",      "SYS_BOOT",       "SYS_NICE",
    "SYS_RESOURCE",   "SYS_TIME",     "SYS_TTY_CONFIG",  "MKNOD",          "LEASE",          "AUDIT_WRITE",
    "AUDIT_CONTROL",  "SETFCAP",      "MAC_OVERRIDE",    "MAC_ADMIN",      "SYSLOG",         "WAKE_ALARM",
    "BLOCK_SUSPEND",  "AUDIT_READ",   "PERFMON",         "BPF",            "CHECKPOINT_RESTORE"};

static int parse_set(uint64_t *set, const json_t *json, const char *key, struct error *error) {
  const json_t *list = json_object_get(json, key);
  for (size_t i = 0; i < json_array_size(list); i++) {
    const char *name = json_string_value(json_array_get(list, i));
    size_t number = 0;
    if (name && strncasecmp(name, "CAP_", 4) == 0) name += 4;
    while (name && number < countof(names) && strcasecmp(name, names[number]) != 0) number++;
    if (!name || number == countof(names))
      return error_set(error, "invalid", "capability \"%.40s\" is not known to the guest's kernel", name ? name : "");
    *set |= UINT64_C(1) << number;
  }
  return 0;
}

int caps_parse(struct caps *caps, const json_t *json, struct error *error) {
  *caps = (struct caps){0};
  return parse_set(&caps->bounding, json, "bounding", error) < 0 ||
                 parse_set(&caps->effective, json, "effective", error) < 0 ||
                 parse_set(&caps->permitted, json, "permitted", error) < 0 ||
                 parse_set(&caps->inheritable, json, "inheritable", error) < 0 ||
                 parse_set(&caps->ambient, json, "ambient", error) < 0
             ? -1
             : 0;
}

int caps_bound(const struct caps *caps, struct error *error) {
  for (int number = 0; number < 64 && prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0; number++)
    if (!(caps->bounding >> number & 1) && prctl(PR_CAPBSET_DROP, number, 0, 0, 0) < 0)
      return error_errno(error, "drop capability %d", number);
  return 0;
}

int caps_apply(const struct caps *caps, struct error *error) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  for (int i = 0; i < 2; i++)
    data[i] = (struct __user_cap_data_struct){.effective = (uint32_t)(caps->effective >> (32 * i)),
                                              .permitted = (uint32_t)(caps->permitted >> (32 * i)),
                                              .inheritable = (uint32_t)(caps->inheritable >> (32 * i))};
  if (syscall(SYS_capset, &header, data) < 0) return error_errno(error, "set capabilities");
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  for (int number = 0; number < 64; number++)
    if ((caps->ambient >> number & 1) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) < 0)
      return error_errno(error, "raise ambient capability %d", number);
  return 0;
}
