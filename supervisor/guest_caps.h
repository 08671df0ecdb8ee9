/* Capabilities (capabilities(7)) as the OCI spec names them. */
#pragma once
#include <stdint.h>

#include "json.h"

struct caps {
  uint64_t bounding, effective, permitted, inheritable, ambient;
};

/* Names that this kernel does not know are an error: "invalid". */
int caps_parse(struct caps *caps, const json_t *json, struct error *error);
/* Drops what is not in the bounding set; needs CAP_SETPCAP. */
int caps_bound(const struct caps *caps, struct error *error);
/* Sets the other four; the last thing a privileged process does. */
int caps_apply(const struct caps *caps, struct error *error);
