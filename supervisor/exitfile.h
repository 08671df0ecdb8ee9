/* How a workload ended, on disk for an engine that was not there (ExitRecord of src/ports/supervisor.ts). */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "json.h"

/* The record as JSON, new reference. `finished_at` in ms since the epoch. */
json_t *exit_record(const char *workload, int64_t generation, int exit_code, bool out_of_memory, int64_t finished_at);
/* Replaces `path` durably: temporary file, fsync, rename. */
int exitfile_write(const char *path, const json_t *record, struct error *error);
