#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A message is one line whatever went into it. */
static void one_line(char *text) {
  for (; *text; text++)
    if ((unsigned char)*text < ' ') *text = ' ';
}

void error_fill(struct error *error, const char *code, const char *format, ...) {
  if (!error) return;
  va_list arguments;
  va_start(arguments, format);
  error->code = code;
  error->exit_status = 0;
  vsnprintf(error->message, sizeof error->message, format, arguments);
  va_end(arguments);
  one_line(error->message);
}

static const char *code_of(int number) {
  switch (number) {
    case ENOENT:
    case ENOTDIR: return "not_found";
    case EEXIST: return "exists";
    case EACCES:
    case EPERM:
    case EROFS: return "denied";
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
    case EMFILE:
    case ENFILE: return "exhausted";
    case EINVAL:
    case ELOOP:
    case ENAMETOOLONG: return "invalid";
    case EBUSY: return "conflict";
    case EOPNOTSUPP:
    case ENOSYS: return "unsupported";
    default: return "internal";
  }
}

void error_fill_errno(struct error *error, const char *format, ...) {
  int number = errno;
  if (!error) return;
  va_list arguments;
  va_start(arguments, format);
  error->code = code_of(number);
  error->exit_status = 0;
  int length = vsnprintf(error->message, sizeof error->message, format, arguments);
  va_end(arguments);
  if (length >= 0 && (size_t)length < sizeof error->message)
    snprintf(error->message + length, sizeof error->message - (size_t)length, ": %s", strerror(number));
  one_line(error->message);
  errno = number;
}
