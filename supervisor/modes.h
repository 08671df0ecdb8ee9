/* The program's modes. argv[0] is the mode's name (as PID 1: whatever the kernel passed). */
#pragma once

#define GANTRY_VERSION "0.1.0"

int container_main(int argc, char **argv) __attribute__((weak));
int vm_main(int argc, char **argv) __attribute__((weak));
int guest_main(int argc, char **argv) __attribute__((weak));
int unpack_main(int argc, char **argv) __attribute__((weak));
int files_main(int argc, char **argv) __attribute__((weak));
int seccomp_main(int argc, char **argv) __attribute__((weak));
