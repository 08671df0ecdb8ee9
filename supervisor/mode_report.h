/* What the one-shot modes say: one JSON line on standard output, or one on standard error and exit status 1. */
#pragma once
#include "json.h"

/* Prints {"code","message"} on standard error; returns the exit status 1. */
int report_error(const struct error *error);

/* Prints `value` (taken over) as one line on standard output. */
int report_json(json_t *value, struct error *error);

/* Parses a decimal number of the command line. */
int parse_count(const char *option, const char *text, uint64_t *value, struct error *error);
