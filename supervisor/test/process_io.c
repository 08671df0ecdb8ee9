/* The pump: back-pressure loses nothing, half-close, a grandchild that keeps the pipe, and the loop's children. */
#include "process_io.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "check.h"
#include "frame.h"
#include "util.h"

struct seen {
  struct loop *loop;
  struct process_io io;
  struct child child;
  struct timer timer;
  struct buffer out, err;
  size_t room;
  int status, drained, full;
};

static size_t room(void *context) { return ((struct seen *)context)->room; }
static void output(void *context, uint8_t type, const void *data, size_t length) {
  struct seen *seen = context;
  CHECK(length <= seen->room);
  buffer_append(type == FRAME_STDERR ? &seen->err : &seen->out, data, length);
  if (seen->room != SIZE_MAX) seen->room -= length;
}
static void input_full(void *context, bool full) { ((struct seen *)context)->full += full ? 1 : 100; }
static void drained(void *context) {
  struct seen *seen = context;
  seen->drained++;
  loop_stop(seen->loop);
}
static const struct io_handlers handlers = {room, output, input_full, drained};

static void exited(void *context, int status) {
  struct seen *seen = context;
  seen->status = exit_code_of(status);
  io_exited(&seen->io);
}

static void give_room(void *context) {
  struct seen *seen = context;
  seen->room = 50000;
  io_wake(&seen->io);
  loop_timer(seen->loop, &seen->timer, 2, give_room, seen);
}

static void run(struct seen *seen, const char *script) {
  int in[2], out[2], err[2];
  CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0);
  pid_t pid = fork();
  if (pid == 0) {
    loop_child_unblock();
    dup2(in[0], 0);
    dup2(out[1], 1);
    dup2(err[1], 2);
    execl("/bin/sh", "sh", "-c", script, NULL);
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  close(err[1]);
  io_start(&seen->io, seen->loop, &handlers, seen, in[1], out[0], err[0]);
  loop_child(seen->loop, &seen->child, pid, exited, seen);
}

static void finish(struct seen *seen) {
  loop_timer_cancel(seen->loop, &seen->timer);
  CHECK(seen->drained == 1);
  io_close(&seen->io);
  buffer_free(&seen->out);
  buffer_free(&seen->err);
  struct loop *loop = seen->loop;
  *seen = (struct seen){.loop = loop, .room = SIZE_MAX};
}

int main(void) {
  struct seen seen = {.loop = loop_new(), .room = SIZE_MAX};
  run(&seen, "echo out; echo err >&2; exit 3");
  loop_run(seen.loop);
  CHECK(seen.status == 3 && buffer_length(&seen.out) == 4 && buffer_length(&seen.err) == 4);
  finish(&seen);

  /* Slow room: nothing is lost, although the process is long dead when the last bytes are taken. */
  seen.room = 0;
  run(&seen, "head -c 1000000 /dev/zero");
  loop_timer(seen.loop, &seen.timer, 50, give_room, &seen);
  loop_run(seen.loop);
  CHECK(seen.status == 0 && buffer_length(&seen.out) == 1000000);
  finish(&seen);

  /* Input more than the pipe holds, then its end. */
  run(&seen, "sleep 0.1; cat; echo over");
  cleanup_free char *data = xzalloc(3000000);
  io_input(&seen.io, data, 3000000);
  CHECK(seen.full == 1);
  io_input_end(&seen.io);
  io_input(&seen.io, "late", 4);
  loop_run(seen.loop);
  CHECK(seen.full == 101 && buffer_length(&seen.out) == 3000005);
  finish(&seen);

  /* A process that never reads its input, and closes it. */
  run(&seen, "exec <&-; sleep 0.1; echo done");
  io_input(&seen.io, data, 3000000);
  loop_run(seen.loop);
  CHECK(seen.status == 0 && buffer_length(&seen.out) == 5);
  finish(&seen);

  /* A grandchild that keeps the pipes open, quiet or not, does not hold the end back. */
  int64_t before = monotonic_ms();
  run(&seen, "sleep 20 & echo $!");
  loop_run(seen.loop);
  CHECK(monotonic_ms() - before < 10000 && buffer_length(&seen.out) > 1);
  buffer_append(&seen.out, "", 1);
  kill(atoi(buffer_data(&seen.out)), 9);
  finish(&seen);
  before = monotonic_ms();
  run(&seen, "yes & echo $! >&2");
  loop_run(seen.loop);
  CHECK(monotonic_ms() - before < 10000);
  buffer_append(&seen.err, "", 1);
  kill(atoi(buffer_data(&seen.err)), 9);
  finish(&seen);

  /* A child that died before anybody registered it. */
  pid_t quick = fork();
  if (quick == 0) _exit(9);
  run(&seen, "sleep 0.1");
  loop_run(seen.loop);
  finish(&seen);
  CHECK(waitpid(quick, NULL, WNOHANG) < 0); /* the loop has reaped it */
  seen.io.handlers = &handlers;
  struct child late;
  int in[2];
  CHECK(pipe2(in, O_CLOEXEC) == 0);
  io_start(&seen.io, seen.loop, &handlers, &seen, -1, in[0], -1);
  close(in[1]);
  loop_child(seen.loop, &late, quick, exited, &seen);
  loop_run(seen.loop);
  CHECK(seen.status == 9);
  finish(&seen);
  loop_free(seen.loop);
  return 0;
}
