/* One program, several modes (docs/PROTOCOL.md); as PID 1 it is the guest's supervisor. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "modes.h"
#include "util.h"

static const struct {
  const char *name;
  int (*run)(int argc, char **argv);
} modes[] = {
    {"container", container_main}, {"vm", vm_main},           {"unpack", unpack_main},
    {"files", files_main},         {"seccomp", seccomp_main}, {"guest", guest_main},
};

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--version") == 0) {
    puts("gantry-supervisor " GANTRY_VERSION);
    return 0;
  }
  if (getpid() == 1 && guest_main) return guest_main(argc, argv);
  if (argc < 2) {
    fprintf(stderr, "usage: gantry-supervisor container|vm|unpack|files|seccomp ...\n");
    return 2;
  }
  for (size_t i = 0; i < countof(modes); i++)
    if (strcmp(argv[1], modes[i].name) == 0 && modes[i].run) return modes[i].run(argc - 1, argv + 1);
  fprintf(stderr, "gantry-supervisor: no mode %s\n", argv[1]);
  return 2;
}
