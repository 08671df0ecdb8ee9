/* The operations of the files mode; each runs in namespaces of its own and shuts itself in. */
#pragma once
#include "json.h"

#define FILES_TREE "/sys/tree"

/* Mounts the request's overlay at FILES_TREE, which is returned; NULL on error. */
const char *files_mount(const json_t *request, struct error *error);

int files_stat(const json_t *request, struct error *error);
int files_read(const json_t *request, struct error *error);
int files_write(const json_t *request, struct error *error);
int files_copy(const json_t *request, struct error *error);
int files_erofs(const json_t *request, struct error *error);
