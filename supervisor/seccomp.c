/*
 * gantry-supervisor seccomp
 *
 * An OCI linux.seccomp object on standard input becomes a BPF program (struct sock_filter[]) on standard output, for
 * the machine this runs on. System calls that libseccomp does not know are left out, and so are architectures:
 * neither could be called here. Everything else that is not understood is refused. Flags and notify listeners are not
 * supported.
 */
#include <errno.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>

#include "mode_report.h"
#include "modes.h"
#include "util.h"

#define INPUT_LIMIT (1u << 20)
#define ERRNO_MAX 4095

static int parse_action(const char *name, int64_t value, uint32_t *action, struct error *error) {
  static const struct {
    const char *name;
    uint32_t action;
  } known[] = {
      {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW},
      {"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD},
      {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
      {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
      {"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
      {"SCMP_ACT_LOG", SCMP_ACT_LOG},
  };
  for (size_t i = 0; i < countof(known); i++)
    if (strcmp(name, known[i].name) == 0) {
      *action = known[i].action;
      return 0;
    }
  bool is_errno = strcmp(name, "SCMP_ACT_ERRNO") == 0, is_trace = strcmp(name, "SCMP_ACT_TRACE") == 0;
  if (!is_errno && !is_trace) return error_set(error, "unsupported", "the seccomp action %s is not supported", name);
  if (value < 0 || value > (is_errno ? ERRNO_MAX : UINT16_MAX))
    return error_set(error, "invalid", "errnoRet %lld of %s is out of range", (long long)value, name);
  *action = is_errno ? SCMP_ACT_ERRNO((uint32_t)value) : SCMP_ACT_TRACE((uint32_t)value);
  return 0;
}

static int parse_operator(const char *name, enum scmp_compare *operator, struct error * error) {
  static const struct {
    const char *name;
    enum scmp_compare operator;
  } known[] = {
      {"SCMP_CMP_NE", SCMP_CMP_NE},
      {"SCMP_CMP_LT", SCMP_CMP_LT},
      {"SCMP_CMP_LE", SCMP_CMP_LE},
      {"SCMP_CMP_EQ", SCMP_CMP_EQ},
      {"SCMP_CMP_GE", SCMP_CMP_GE},
      {"SCMP_CMP_GT", SCMP_CMP_GT},
      {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
  };
  for (size_t i = 0; i < countof(known); i++)
    if (strcmp(name, known[i].name) == 0) {
      *operator = known[i].operator;
      return 0;
    }
  return error_set(error, "unsupported", "the seccomp comparison %s is not supported", name);
}

/* JSON numbers are signed here; the profile's values are 64 bits without sign. */
static int need_value(const json_t *object, const char *key, bool optional, uint64_t *value, struct error *error) {
  const json_t *found = json_object_get(object, key);
  *value = 0;
  if (!found && optional) return 0;
  if (json_is_integer(found))
    *value = (uint64_t)json_integer_value(found);
  else if (json_is_real(found) && json_real_value(found) >= 0 && json_real_value(found) < 18446744073709551616.0)
    *value = (uint64_t)json_real_value(found);
  else
    return error_set(error, "invalid", "seccomp: %s is no number", key);
  return 0;
}

static int parse_arguments(const json_t *list, struct scmp_arg_cmp *arguments, unsigned *count, struct error *error) {
  size_t index;
  json_t *item;
  *count = 0;
  if (!list || json_is_null(list)) return 0;
  if (!json_is_array(list) || json_array_size(list) > 6)
    return error_set(error, "invalid", "seccomp: args is no list of at most 6");
  json_array_foreach(list, index, item) {
    int64_t position;
    const char *name;
    enum scmp_compare operator = SCMP_CMP_EQ;
    uint64_t value, second;
    if (need_int(item, "index", 0, 5, &position, error) < 0 || need_string(item, "op", &name, error) < 0 ||
        parse_operator(name, &operator, error) < 0 || need_value(item, "value", false, &value, error) < 0 ||
        need_value(item, "valueTwo", true, &second, error) < 0)
      return -1;
    arguments[(*count)++] = (struct scmp_arg_cmp){(unsigned)position, operator, value, second};
  }
  return 0;
}

/* libseccomp takes each argument once a rule: like other runtimes, several conditions on one become rules of their
 * own. */
static int add_rules(scmp_filter_ctx filter, uint32_t action, int number, const struct scmp_arg_cmp *arguments,
                     unsigned count) {
  bool repeated = false;
  for (unsigned i = 0; i < count; i++)
    for (unsigned j = 0; j < i; j++)
      repeated = repeated || arguments[i].arg == arguments[j].arg;
  if (!repeated) return seccomp_rule_add_array(filter, action, number, count, arguments);
  for (unsigned i = 0; i < count; i++) {
    int failed = seccomp_rule_add_array(filter, action, number, 1, &arguments[i]);
    if (failed) return failed;
  }
  return 0;
}

static int add_group(scmp_filter_ctx filter, uint32_t default_action, const json_t *group, struct error *error) {
  const char *action_name;
  uint32_t action;
  struct scmp_arg_cmp arguments[6];
  unsigned count;
  if (need_string(group, "action", &action_name, error) < 0 ||
      parse_action(action_name, want_int(group, "errnoRet", EPERM), &action, error) < 0 ||
      parse_arguments(json_object_get(group, "args"), arguments, &count, error) < 0)
    return -1;
  cleanup_free char **names = need_strings(group, "names", error);
  if (!names) return -1;
  if (action == default_action) return 0;
  for (size_t i = 0; names[i]; i++) {
    int number = seccomp_syscall_resolve_name(names[i]);
    if (number == __NR_SCMP_ERROR) continue;
    int failed = add_rules(filter, action, number, arguments, count);
    /* Not on every architecture can a rule look at arguments: there it may contradict another. */
    if (failed == -EEXIST)
      return error_set(error, "invalid", "seccomp: a rule for %s contradicts an earlier one", names[i]);
    if (failed) {
      errno = -failed;
      return error_errno(error, "seccomp: no rule can be made for %s", names[i]);
    }
  }
  return 0;
}

static int add_architectures(scmp_filter_ctx filter, const json_t *profile, struct error *error) {
  if (!json_object_get(profile, "architectures")) return 0;
  cleanup_free char **names = need_strings(profile, "architectures", error);
  if (!names) return -1;
  for (size_t i = 0; names[i]; i++) {
    if (strncmp(names[i], "SCMP_ARCH_", 10) != 0)
      return error_set(error, "invalid", "seccomp: %s is no architecture", names[i]);
    char lower[32] = "";
    for (size_t j = 0; names[i][10 + j] && j < sizeof lower - 1; j++)
      lower[j] =
          names[i][10 + j] >= 'A' && names[i][10 + j] <= 'Z' ? (char)(names[i][10 + j] + 32) : names[i][10 + j];
    uint32_t architecture = seccomp_arch_resolve_name(lower);
    /* Of another byte order or machine: cannot be called here. */
    int failed = architecture ? seccomp_arch_add(filter, architecture) : -EINVAL;
    if (failed && failed != -EEXIST && failed != -EINVAL && failed != -EDOM) {
      errno = -failed;
      return error_errno(error, "seccomp: architecture %s cannot be added", names[i]);
    }
  }
  return 0;
}

static int build(scmp_filter_ctx filter, uint32_t default_action, const json_t *profile, struct error *error) {
  static const char *refused[] = {"listenerPath", "listenerMetadata"};
  for (size_t i = 0; i < countof(refused); i++)
    if (json_object_get(profile, refused[i]))
      return error_set(error, "unsupported", "seccomp: %s is not supported", refused[i]);
  const json_t *flags = json_object_get(profile, "flags");
  if (flags && json_array_size(flags) > 0) return error_set(error, "unsupported", "seccomp: flags are not supported");
  if (add_architectures(filter, profile, error) < 0) return -1;
  const json_t *groups = json_object_get(profile, "syscalls");
  if (groups && !json_is_array(groups)) return error_set(error, "invalid", "seccomp: syscalls is no list");
  size_t index;
  json_t *group;
  json_array_foreach(groups, index, group) if (add_group(filter, default_action, group, error) < 0) return -1;
  return 0;
}

/* Through a file in memory: seccomp_export_bpf writes piecemeal, and a pipe may take less than it is given. */
static int export_filter(scmp_filter_ctx filter, struct error *error) {
  cleanup_fd int fd = memfd_create("filter", MFD_CLOEXEC);
  if (fd < 0) return error_errno(error, "a filter cannot be kept");
  int failed = seccomp_export_bpf(filter, fd);
  if (failed) {
    errno = -failed;
    return error_errno(error, "the filter cannot be made");
  }
  size_t length;
  if (lseek(fd, 0, SEEK_SET) < 0) return error_errno(error, "the filter cannot be read");
  cleanup_free char *program = read_all(fd, INPUT_LIMIT, &length, error);
  if (!program) return -1;
  return write_all(STDOUT_FILENO, program, length) < 0 ? error_errno(error, "the filter cannot be written") : 0;
}

static int compile(struct error *error) {
  size_t length;
  const char *action_name;
  uint32_t action;
  cleanup_free char *text = read_all(STDIN_FILENO, INPUT_LIMIT, &length, error);
  if (!text) return -1;
  cleanup_json json_t *profile = json_object_parse(text, length, error);
  if (!profile || need_string(profile, "defaultAction", &action_name, error) < 0 ||
      parse_action(action_name, want_int(profile, "defaultErrnoRet", EPERM), &action, error) < 0)
    return -1;
  scmp_filter_ctx filter = seccomp_init(action);
  if (!filter) return error_set(error, "internal", "a filter cannot be made");
  /* A binary tree of comparisons is several times faster than a list of 400. */
  seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
  int result = build(filter, action, profile, error);
  if (result == 0) result = export_filter(filter, error);
  seccomp_release(filter);
  return result;
}

int seccomp_main(int argc, char **argv) {
  (void)argv;
  struct error error = {.code = "internal"};
  if (argc != 1) error_set(&error, "invalid", "usage: seccomp <profile.json >program.bpf");
  if (argc != 1 || compile(&error) < 0) return report_error(&error);
  return 0;
}
