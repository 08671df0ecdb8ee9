/*
 * JSON (jansson) with checked access. Strings and objects from need_* and want_* are borrowed from their object.
 * Documents from a peer are bounded by their frame; jansson bounds the depth, and rejects NUL and bad UTF-8 in strings.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "error.h"

static inline void cleanup_json_(json_t **value) { json_decref(*value); }
#define cleanup_json __attribute__((cleanup(cleanup_json_)))

/* One object, nothing after it, no key twice; NULL with code "invalid" otherwise. */
json_t *json_object_parse(const void *text, size_t length, struct error *error);

/* Required fields: 0, or -1 with code "invalid" naming the field. */
int need_string(const json_t *object, const char *key, const char **value, struct error *error);
int need_int(const json_t *object, const char *key, int64_t lowest, int64_t highest, int64_t *value,
             struct error *error);
int need_object(const json_t *object, const char *key, json_t **value, struct error *error);
int need_array(const json_t *object, const char *key, json_t **value, struct error *error);

/* Optional fields: absent, null or of another type gives the fallback. */
const char *want_string(const json_t *object, const char *key, const char *fallback);
int64_t want_int(const json_t *object, const char *key, int64_t fallback);
bool want_bool(const json_t *object, const char *key, bool fallback);

/* An array of strings as a NULL-terminated vector that borrows them (free() only the vector); NULL on error. */
char **need_strings(const json_t *object, const char *key, struct error *error);

/* {"error":{...}} as the protocol has it. */
json_t *error_to_json(const struct error *error);
