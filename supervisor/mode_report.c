#include "mode_report.h"

#include <errno.h>
#include <string.h>

#include "util.h"

int report_error(const struct error *error) {
  cleanup_json json_t *line = json_pack("{s:s, s:s}", "code", error->code, "message", error->message);
  /* A message can hold a file name, which need not be UTF-8. */
  if (!line)
    line = json_pack("{s:s, s:s}", "code", error->code, "message", "a file name that is not UTF-8 was refused");
  cleanup_free char *text = json_dumps(line, JSON_COMPACT);
  if (text) dprintf(STDERR_FILENO, "%s\n", text);
  return 1;
}

int report_json(json_t *value, struct error *error) {
  cleanup_json json_t *held = value;
  cleanup_free char *text = held ? json_dumps(held, JSON_COMPACT) : NULL;
  if (!text) return error_set(error, "internal", "a report cannot be made");
  if (write_all(STDOUT_FILENO, text, strlen(text)) < 0 || write_all(STDOUT_FILENO, "\n", 1) < 0)
    return error_errno(error, "the report cannot be written");
  return 0;
}

int parse_count(const char *option, const char *text, uint64_t *value, struct error *error) {
  char *end = NULL;
  errno = 0;
  unsigned long long parsed = text && *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
  if (!end || *end || errno || parsed == 0)
    return error_set(error, "invalid", "%s wants a whole number above 0, not \"%s\"", option, text ? text : "");
  *value = parsed;
  return 0;
}
