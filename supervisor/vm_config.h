/*
 * What the engine asks of a VM's shim: one JSON object on standard input. The writer is src/isolation/vm/config.ts.
 * Descriptors that QEMU inherits have fixed numbers, which its command line (made by the engine) names.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"

enum vm_descriptor {
  VM_FD_QMP = 3,
  VM_FD_AGENT = 4,
  VM_FD_CONSOLE = 5,
  VM_FD_TAP = 6,
  VM_FD_SHARES = 7,
  VM_FD_DISK = 8, /* and up, one a disk */
  VM_FD_END = 32,
};
enum { VM_DISKS_MAX = VM_FD_END - VM_FD_DISK, VM_SHARES_MAX = 128 };

struct vm_disk {
  const char *path;
  bool read_only;
};

struct vm_share {
  const char *source;
  bool read_only;
};

struct vm_config {
  json_t *json; /* owns every string below */
  const char *id, *folder, *accelerator;
  int64_t uid, gid;
  const char *cgroup;
  int64_t memory_limit, pids_limit; /* of the cgroup: QEMU and virtiofsd together */
  int64_t file_limit;               /* RLIMIT_FSIZE of QEMU: no file of its grows beyond */
  char **qemu;                      /* argument vector */
  const char *kernel, *initrd;      /* seen by QEMU as /guest/kernel and /guest/initrd */
  struct vm_disk disks[VM_DISKS_MAX];
  size_t disk_count;
  const char *tap; /* NULL: no network */
  const char *virtiofsd;
  struct vm_share shares[VM_SHARES_MAX];
  size_t share_count;
  json_t *configure; /* sent to the guest, with time and randomness added */
  json_t *mount;     /* a `mount-rootfs` request for a sandbox that is opened for its files only, or NULL */
  int64_t boot_timeout, boot_cpu; /* an attempt ends after so many ms, or ms of QEMU's CPU time */
  int64_t boot_tries, poweroff_timeout /* ms */;
  bool throwaway; /* the disks are not needed after the end: no sync */
};

/* Parses and checks; -1 with "invalid" naming the field. */
int vm_config_parse(struct vm_config *config, const char *text, size_t length, struct error *error);
void vm_config_free(struct vm_config *config);
