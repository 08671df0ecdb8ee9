/* Device rules as a program of type cgroup/dev (bpf(2)): cgroup v2 has no other way. */
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest_cgroup.h"
#include "util.h"

enum { rules_max = 128, instructions_max = 16 + 12 * (rules_max + 16) };

struct rule {
  bool allow;
  int type;              /* BPF_DEVCG_DEV_*, 0: both */
  int64_t major, minor;  /* -1: any */
  uint32_t access;       /* BPF_DEVCG_ACC_* */
};

/* What every workload may use: the nodes that are made in its /dev, its terminals, and making nodes of any kind. */
static const struct rule standard[] = {
    {true, BPF_DEVCG_DEV_CHAR, 1, 3, 7},  {true, BPF_DEVCG_DEV_CHAR, 1, 5, 7},    {true, BPF_DEVCG_DEV_CHAR, 1, 7, 7},
    {true, BPF_DEVCG_DEV_CHAR, 1, 8, 7},  {true, BPF_DEVCG_DEV_CHAR, 1, 9, 7},    {true, BPF_DEVCG_DEV_CHAR, 5, 0, 7},
    {true, BPF_DEVCG_DEV_CHAR, 5, 2, 7},  {true, BPF_DEVCG_DEV_CHAR, 136, -1, 7}, {true, 0, -1, -1, BPF_DEVCG_ACC_MKNOD},
};

struct program {
  struct bpf_insn code[instructions_max];
  int length;
};

static void emit(struct program *program, uint8_t code, int destination, int source, int offset, int immediate) {
  program->code[program->length++] = (struct bpf_insn){.code = code,
                                                       .dst_reg = (uint8_t)destination & 15,
                                                       .src_reg = (uint8_t)source & 15,
                                                       .off = (int16_t)offset,
                                                       .imm = immediate};
}

/*
 * r2 type, r3 access wanted, r4 major, r5 minor. A rule matches when its device does and its access covers all that
 * is wanted (to allow) or any of it (to deny); rules are tried from the last to the first.
 */
static void emit_rule(struct program *program, const struct rule *rule) {
  int jumps[4], count = 0;
  if (rule->access != 7) {
    emit(program, BPF_ALU64 | BPF_MOV | BPF_X, 1, 3, 0, 0);
    emit(program, BPF_ALU64 | BPF_AND | BPF_K, 1, 0, 0, (int)((rule->allow ? ~rule->access : rule->access) & 7));
    jumps[count++] = program->length;
    emit(program, BPF_JMP | (rule->allow ? BPF_JNE : BPF_JEQ) | BPF_K, 1, 0, 0, 0);
  }
  if (rule->type) {
    jumps[count++] = program->length;
    emit(program, BPF_JMP | BPF_JNE | BPF_K, 2, 0, 0, rule->type);
  }
  if (rule->major >= 0) {
    jumps[count++] = program->length;
    emit(program, BPF_JMP | BPF_JNE | BPF_K, 4, 0, 0, (int)rule->major);
  }
  if (rule->minor >= 0) {
    jumps[count++] = program->length;
    emit(program, BPF_JMP | BPF_JNE | BPF_K, 5, 0, 0, (int)rule->minor);
  }
  emit(program, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, rule->allow);
  emit(program, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
  for (int i = 0; i < count; i++) program->code[jumps[i]].off = (int16_t)(program->length - jumps[i] - 1);
}

static int parse(const json_t *json, struct rule *rule, struct error *error) {
  const char *type = want_string(json, "type", "a"), *access = want_string(json, "access", "rwm");
  *rule = (struct rule){.allow = want_bool(json, "allow", false),
                        .major = want_int(json, "major", -1),
                        .minor = want_int(json, "minor", -1)};
  if (strcmp(type, "c") == 0 || strcmp(type, "u") == 0)
    rule->type = BPF_DEVCG_DEV_CHAR;
  else if (strcmp(type, "b") == 0)
    rule->type = BPF_DEVCG_DEV_BLOCK;
  else if (strcmp(type, "a") != 0)
    return error_set(error, "invalid", "device rule of type %.20s", type);
  for (; *access; access++) {
    if (*access == 'r') rule->access |= BPF_DEVCG_ACC_READ;
    else if (*access == 'w') rule->access |= BPF_DEVCG_ACC_WRITE;
    else if (*access == 'm') rule->access |= BPF_DEVCG_ACC_MKNOD;
    else return error_set(error, "invalid", "device access %c", *access);
  }
  return 0;
}

static int bpf(enum bpf_cmd command, union bpf_attr *attributes) {
  return (int)syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

int guest_cgroup_allow_devices(int cgroup, const json_t *rules, struct error *error) {
  static struct program program;
  if (json_array_size(rules) > rules_max) return error_set(error, "invalid", "more than %d device rules", rules_max);
  program.length = 0;
  emit(&program, BPF_LDX | BPF_W | BPF_MEM, 2, 1, 0, 0);
  emit(&program, BPF_ALU64 | BPF_MOV | BPF_X, 3, 2, 0, 0);
  emit(&program, BPF_ALU64 | BPF_RSH | BPF_K, 3, 0, 0, 16);
  emit(&program, BPF_ALU64 | BPF_AND | BPF_K, 2, 0, 0, 0xffff);
  emit(&program, BPF_LDX | BPF_W | BPF_MEM, 4, 1, 4, 0);
  emit(&program, BPF_LDX | BPF_W | BPF_MEM, 5, 1, 8, 0);
  for (size_t i = 0; i < countof(standard); i++) emit_rule(&program, &standard[i]);
  for (size_t i = json_array_size(rules); i-- > 0;) {
    struct rule rule;
    if (parse(json_array_get(rules, i), &rule, error) < 0) return -1;
    emit_rule(&program, &rule);
    /* One that matches everything ends the list: nothing may follow that cannot be reached. */
    if (rule.access == 7 && !rule.type && rule.major < 0 && rule.minor < 0) goto load;
  }
  emit(&program, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
  emit(&program, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
load:;
  union bpf_attr load = {.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
                         .insns = (uintptr_t)program.code,
                         .insn_cnt = (uint32_t)program.length,
                         .license = (uintptr_t) "Apache-2.0"};
  cleanup_fd int fd = bpf(BPF_PROG_LOAD, &load);
  if (fd < 0) return error_errno(error, "load the device rules");
  union bpf_attr attach = {
      .target_fd = (uint32_t)cgroup, .attach_bpf_fd = (uint32_t)fd, .attach_type = BPF_CGROUP_DEVICE};
  if (bpf(BPF_PROG_ATTACH, &attach) < 0) return error_errno(error, "attach the device rules");
  return 0;
}
