/* The shim's unix socket: accepts connections and makes each a link. Root only (mode 0600). */
#pragma once
#include "loop.h"
#include "session.h"

struct server;

/* `first` takes each connection's first frame (usually: dispatch). NULL on error. Replaces a stale socket file. */
struct server *server_listen(struct loop *loop, const char *path,
                             void (*first)(void *context, struct link *link, const struct frame *frame), void *context,
                             struct error *error);
/*
 * Stops accepting, removes the socket file, and calls `idle` once when all connections have ended: those that were
 * finished get their queued bytes out (given up after `patience` ms without progress), the others are closed at once.
 */
void server_close(struct server *server, int64_t patience, void (*idle)(void *context), void *context);
