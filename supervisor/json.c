#include "json.h"

#include <stdlib.h>

#include "util.h"

json_t *json_object_parse(const void *text, size_t length, struct error *error) {
  json_error_t where;
  json_t *value = json_loadb(text, length, JSON_REJECT_DUPLICATES, &where);
  if (!value) {
    error_set(error, "invalid", "not JSON: %s at byte %d", where.text, where.position);
    return NULL;
  }
  if (!json_is_object(value)) {
    json_decref(value);
    error_set(error, "invalid", "JSON is not an object");
    return NULL;
  }
  return value;
}

int need_string(const json_t *object, const char *key, const char **value, struct error *error) {
  const json_t *field = json_object_get(object, key);
  if (!json_is_string(field)) return error_set(error, "invalid", "field \"%s\" must be a string", key);
  *value = json_string_value(field);
  return 0;
}

int need_int(const json_t *object, const char *key, int64_t lowest, int64_t highest, int64_t *value,
             struct error *error) {
  const json_t *field = json_object_get(object, key);
  if (!json_is_integer(field) || json_integer_value(field) < lowest || json_integer_value(field) > highest)
    return error_set(error, "invalid", "field \"%s\" must be an integer from %lld to %lld", key, (long long)lowest,
                     (long long)highest);
  *value = json_integer_value(field);
  return 0;
}

int need_object(const json_t *object, const char *key, json_t **value, struct error *error) {
  json_t *field = json_object_get(object, key);
  if (!json_is_object(field)) return error_set(error, "invalid", "field \"%s\" must be an object", key);
  *value = field;
  return 0;
}

int need_array(const json_t *object, const char *key, json_t **value, struct error *error) {
  json_t *field = json_object_get(object, key);
  if (!json_is_array(field)) return error_set(error, "invalid", "field \"%s\" must be an array", key);
  *value = field;
  return 0;
}

const char *want_string(const json_t *object, const char *key, const char *fallback) {
  const json_t *field = json_object_get(object, key);
  return json_is_string(field) ? json_string_value(field) : fallback;
}

int64_t want_int(const json_t *object, const char *key, int64_t fallback) {
  const json_t *field = json_object_get(object, key);
  return json_is_integer(field) ? json_integer_value(field) : fallback;
}

bool want_bool(const json_t *object, const char *key, bool fallback) {
  const json_t *field = json_object_get(object, key);
  return json_is_boolean(field) ? json_is_true(field) : fallback;
}

char **need_strings(const json_t *object, const char *key, struct error *error) {
  json_t *array;
  if (need_array(object, key, &array, error) < 0) return NULL;
  size_t count = json_array_size(array);
  cleanup_free char **strings = xzalloc((count + 1) * sizeof *strings);
  for (size_t i = 0; i < count; i++) {
    const json_t *item = json_array_get(array, i);
    if (!json_is_string(item)) {
      error_set(error, "invalid", "field \"%s\" must hold strings only", key);
      return NULL;
    }
    strings[i] = (char *)json_string_value(item);
  }
  char **result = strings;
  strings = NULL;
  return result;
}

json_t *error_to_json(const struct error *error) {
  const char *code = error->code ? error->code : "internal";
  json_t *inner = json_pack("{s:s}", "code", code);
  /* A message may quote a hostile name: bytes that are not UTF-8 must not lose the whole reply. */
  json_t *message = json_string(error->message);
  if (!message) {
    char ascii[sizeof error->message];
    size_t i = 0;
    for (; error->message[i] && i < sizeof ascii - 1; i++)
      ascii[i] = (unsigned char)error->message[i] < 0x80 ? error->message[i] : '?';
    ascii[i] = 0;
    message = json_string(ascii);
  }
  json_object_set_new(inner, "message", message);
  if (error->exit_status) json_object_set_new(inner, "exitStatus", json_integer(error->exit_status));
  return json_pack("{s:o}", "error", inner);
}
