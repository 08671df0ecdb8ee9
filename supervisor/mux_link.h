/*
 * The guest's end of the channel: its streams as links, each first frame dispatched to the wall's verbs.
 * Requests on stream 0 are links too; they are answered there.
 */
#pragma once
#include "loop.h"
#include "session.h"

struct mux_server;

/* Serves `fd` (made non-blocking, not closed). `lost` is called once when the channel has ended or was broken. */
struct mux_server *mux_server_new(struct loop *loop, int fd, struct wall *wall,
                                  void (*lost)(void *context, const char *why), void *context);
/* An event on stream 0; takes over the reference. */
void mux_server_event(struct mux_server *server, json_t *event);
/* Before a halt: writes what waits, for at most `timeout` ms. */
void mux_server_flush(struct mux_server *server, int timeout);
