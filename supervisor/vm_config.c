#include "vm_config.h"

#include <stdlib.h>

#include "util.h"

static int need_path(const json_t *object, const char *key, const char **value, struct error *error) {
  if (need_string(object, key, value, error) < 0) return -1;
  if ((*value)[0] != '/') return error_set(error, "invalid", "%s must be an absolute path, not \"%s\"", key, *value);
  return 0;
}

static int parse_disks(struct vm_config *config, struct error *error) {
  json_t *disks, *disk;
  size_t i;
  if (need_array(config->json, "disks", &disks, error) < 0) return -1;
  if (json_array_size(disks) > VM_DISKS_MAX)
    return error_set(error, "invalid", "%zu disks are more than %d", json_array_size(disks), VM_DISKS_MAX);
  json_array_foreach(disks, i, disk) {
    if (need_path(disk, "path", &config->disks[i].path, error) < 0) return -1;
    config->disks[i].read_only = want_bool(disk, "readOnly", true);
    config->disk_count++;
  }
  return 0;
}

static int parse_shares(struct vm_config *config, struct error *error) {
  json_t *shares, *share;
  size_t i;
  if (need_array(config->json, "shares", &shares, error) < 0) return -1;
  if (json_array_size(shares) > VM_SHARES_MAX)
    return error_set(error, "invalid", "%zu host folders are more than the %d a VM can share", json_array_size(shares),
                     VM_SHARES_MAX);
  json_array_foreach(shares, i, share) {
    if (need_path(share, "source", &config->shares[i].source, error) < 0) return -1;
    config->shares[i].read_only = want_bool(share, "readOnly", true);
    config->share_count++;
  }
  return config->share_count > 0 ? need_path(config->json, "virtiofsd", &config->virtiofsd, error) : 0;
}

int vm_config_parse(struct vm_config *config, const char *text, size_t length, struct error *error) {
  *config = (struct vm_config){.json = json_object_parse(text, length, error)};
  const json_t *json = config->json;
  if (!json || need_string(json, "id", &config->id, error) < 0 ||
      need_path(json, "folder", &config->folder, error) < 0 ||
      need_string(json, "accelerator", &config->accelerator, error) < 0 ||
      need_int(json, "uid", 1, UINT32_MAX - 1, &config->uid, error) < 0 ||
      need_int(json, "gid", 1, UINT32_MAX - 1, &config->gid, error) < 0 ||
      need_path(json, "cgroup", &config->cgroup, error) < 0 ||
      need_int(json, "memoryLimit", 1 << 20, INT64_MAX, &config->memory_limit, error) < 0 ||
      need_int(json, "pidsLimit", 1, INT32_MAX, &config->pids_limit, error) < 0 ||
      need_int(json, "fileLimit", 1, INT64_MAX, &config->file_limit, error) < 0 ||
      need_path(json, "kernel", &config->kernel, error) < 0 || need_path(json, "initrd", &config->initrd, error) < 0 ||
      need_object(json, "configure", &config->configure, error) < 0 ||
      need_int(json, "bootTimeout", 1, 3600000, &config->boot_timeout, error) < 0 ||
      need_int(json, "bootCpu", 1, 3600000, &config->boot_cpu, error) < 0 ||
      need_int(json, "bootTries", 1, 100, &config->boot_tries, error) < 0 ||
      need_int(json, "poweroffTimeout", 1, 3600000, &config->poweroff_timeout, error) < 0 ||
      parse_disks(config, error) < 0 || parse_shares(config, error) < 0)
    return -1;
  config->mount = json_object_get(json, "mount");
  config->tap = want_string(json, "tap", NULL);
  config->throwaway = want_bool(json, "throwaway", false);
  config->qemu = need_strings(json, "qemu", error);
  if (!config->qemu) return -1;
  if (!config->qemu[0]) return error_set(error, "invalid", "qemu must name a program");
  return 0;
}

void vm_config_free(struct vm_config *config) {
  free(config->qemu);
  json_decref(config->json);
  *config = (struct vm_config){0};
}
