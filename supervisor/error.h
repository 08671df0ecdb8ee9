/* Errors: the last argument of whatever can fail; the function then returns -1 (or NULL). */
#pragma once

struct error {
  /* A GantryError code of src/model/errors.ts: "invalid", "not_found", "internal", ... */
  const char *code;
  /* Exit status a shell user expects (126, 127), or 0. */
  int exit_status;
  /* One line: what, with which value, what to do. */
  char message[1024];
};

/* Fills `error` (may be NULL) and is -1. `code` must be a string literal. */
#define error_set(error, ...) ({ error_fill(error, __VA_ARGS__); -1; })

/* The same from errno: the code follows from it and its text is appended. */
#define error_errno(error, ...) ({ error_fill_errno(error, __VA_ARGS__); -1; })

void error_fill(struct error *error, const char *code, const char *format, ...) __attribute__((format(printf, 3, 4)));
void error_fill_errno(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
