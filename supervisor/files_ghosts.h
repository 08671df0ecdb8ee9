/* Whiteouts that hide nothing. */
#pragma once
#include <stddef.h>

#include "error.h"

struct ghosts {
  char **paths; /* relative to the tree */
  size_t count, capacity;
};

/*
 * A folder that only one layer has is shown by the kernel's overlayfs as it is: whiteouts in it are listed though
 * they cannot be looked up. Finds them under the folder `tree`.
 */
int ghosts_find(struct ghosts *ghosts, const char *tree, struct error *error);
void ghosts_free(struct ghosts *ghosts);
