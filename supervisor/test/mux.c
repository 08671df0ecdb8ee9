/* Both ends of a mux over a socketpair. Exit 0 when all holds. */
#include "../mux.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../frame.h"
#include "check.h"

/* What one end has seen of each of a few streams. */
struct end {
  struct mux *mux;
  size_t out[8], in[8]; /* data bytes, by stream */
  size_t left[8];       /* guest: bytes still to be sent */
  unsigned frames[8][16];
  int status[8];
  bool stalled[8]; /* does not consume */
};

static const uint8_t pattern[MUX_WINDOW] = {'g'};

static int on_frame(void *context, struct mux_stream *stream, uint8_t type, const uint8_t *payload, size_t length,
                    const char **why) {
  struct end *end = context;
  uint32_t id = stream ? mux_id(stream) : 0;
  (void)why;
  CHECK(id < 8 && type < 16);
  end->frames[id][type]++;
  if (type == FRAME_STDOUT || type == FRAME_STDIN) {
    end->in[id] += length;
    if (!end->stalled[id]) mux_consumed(end->mux, stream, length);
  }
  if (type == FRAME_EXIT) end->status[id] = payload[0];
  return 0;
}

static void send_more(struct end *end, struct mux_stream *stream) {
  uint32_t id = mux_id(stream);
  while (end->left[id] > 0) {
    size_t want = end->left[id] < sizeof pattern ? end->left[id] : sizeof pattern;
    size_t sent = mux_send_data(end->mux, stream, FRAME_STDOUT, pattern, want);
    end->left[id] -= sent;
    end->out[id] += sent;
    if (sent < want) return;
  }
  static const uint8_t exit_frame[8] = {7};
  mux_send(end->mux, stream, FRAME_EXIT, exit_frame, sizeof exit_frame);
}

static void on_writable(void *context, struct mux_stream *stream) {
  send_more(context, stream);
}

static struct end host, guest;
static int raw_guest;

static void start(bool with_guest) {
  int pair[2];
  memset(&host, 0, sizeof host);
  memset(&guest, 0, sizeof guest);
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
  struct mux_handler handler = {on_frame, on_writable, &host};
  host.mux = mux_new(pair[0], MUX_HOST, &handler);
  raw_guest = pair[1];
  if (with_guest) {
    handler.context = &guest;
    guest.mux = mux_new(pair[1], MUX_GUEST, &handler);
  }
}

static void finish(void) {
  close(mux_fd(host.mux));
  close(raw_guest);
  mux_free(host.mux);
  mux_free(guest.mux);
}

static void pump(int rounds) {
  for (int i = 0; i < rounds; i++) {
    CHECK(mux_write(host.mux) == 1);
    CHECK(mux_read(guest.mux) == 1);
    CHECK(mux_write(guest.mux) == 1);
    CHECK(mux_read(host.mux) == 1);
  }
}

static struct mux_stream *request(void) {
  struct mux_stream *stream = mux_open(host.mux, NULL);
  CHECK(stream);
  CHECK(mux_send(host.mux, stream, FRAME_REQUEST, "{}", 2) == 0);
  return stream;
}

/* A stream whose reader stands still stops at its window; another one gets everything. */
static void slow_reader_does_not_stall_others(void) {
  start(true);
  struct mux_stream *slow = request();
  request();
  pump(1);
  CHECK(guest.frames[1][FRAME_REQUEST] == 1 && guest.frames[2][FRAME_REQUEST] == 1);
  host.stalled[1] = true;
  guest.left[1] = guest.left[2] = 16 << 20;
  for (uint32_t id = 1; id <= 2; id++) {
    CHECK(mux_send(guest.mux, mux_find(guest.mux, id), FRAME_REPLY, "{}", 2) == 0);
    send_more(&guest, mux_find(guest.mux, id));
  }
  pump(1500);
  CHECK(host.in[1] == MUX_WINDOW);
  CHECK(host.in[2] == 16 << 20);
  CHECK(host.frames[2][FRAME_EXIT] == 1 && host.status[2] == 7);
  CHECK(mux_find(host.mux, 2) == NULL && mux_find(guest.mux, 2) == NULL);
  /* The reader wakes up: all the rest comes. */
  host.stalled[1] = false;
  mux_consumed(host.mux, slow, MUX_WINDOW);
  pump(1500);
  CHECK(host.in[1] == 16 << 20 && host.frames[1][FRAME_EXIT] == 1);
  finish();
}

/* stdin may end while output goes on; a stream that the host closes is forgotten at both ends. */
static void half_close(void) {
  start(true);
  struct mux_stream *stream = request();
  CHECK(mux_send_data(host.mux, stream, FRAME_STDIN, "abc", 3) == 3);
  CHECK(mux_send(host.mux, stream, FRAME_STDIN_END, NULL, 0) == 0);
  pump(1);
  CHECK(guest.in[1] == 3 && guest.frames[1][FRAME_STDIN_END] == 1);
  struct mux_stream *far = mux_find(guest.mux, 1);
  CHECK(mux_send(guest.mux, far, FRAME_REPLY, "{}", 2) == 0);
  CHECK(mux_send_data(guest.mux, far, FRAME_STDOUT, "abcd", 4) == 4);
  pump(1);
  CHECK(host.in[1] == 4);
  mux_close(host.mux, stream);
  CHECK(mux_send_data(guest.mux, far, FRAME_STDOUT, "late", 4) == 4);
  pump(1);
  CHECK(guest.frames[1][FRAME_CLOSE] == 1 && host.in[1] == 4);
  CHECK(mux_count(host.mux) == 0 && mux_count(guest.mux) == 0);
  finish();
}

/* A guest that does not read its channel stops the host's data, and the host holds only a bounded part of it. */
static void dead_guest_is_bounded(void) {
  start(true);
  size_t sent = 0;
  struct mux_stream *streams[7];
  for (int i = 0; i < 7; i++) streams[i] = request();
  for (int round = 0; round < 200; round++)
    for (int i = 0; i < 7; i++) {
    sent += mux_send_data(host.mux, streams[i], FRAME_STDIN, pattern, 4096);
    CHECK(mux_write(host.mux) == 1);
  }
  CHECK(sent < 7 * MUX_WINDOW && mux_room(host.mux, streams[0]) == 0);
  while (mux_send(host.mux, NULL, FRAME_REQUEST, pattern, sizeof pattern) == 0) sent++;
  CHECK(strstr(mux_why(host.mux), "does not read"));
  finish();
}

static void put(uint8_t *p, uint32_t length, uint32_t id, uint32_t type) {
  const uint32_t words[3] = { length, id, type };
  memcpy(p, words, 12);
}

static uint8_t payload_byte;

/* Each of these from a guest ends the channel, with a reason. `reply` first answers stream 1. */
static void hostile_frame(const char *expected, bool reply, uint32_t length, uint32_t id, uint32_t type) {
  static uint8_t frame[24 + MUX_WINDOW + 64];
  size_t used = 0;
  start(false);
  request();
  if (reply) {
    put(frame, 0, 1, FRAME_REPLY);
    used = 12;
  }
  put(frame + used, length, id, type);
  if (length < MUX_WINDOW + 64) memset(frame + used + 12, payload_byte, length);
  used += 12 + (length < MUX_WINDOW + 64 ? length : 0);
  /* Written in parts, read in between, as a stream may come. */
  int result = 1;
  for (size_t at = 0; at < used && result == 1;) {
    ssize_t n = write(raw_guest, frame + at, used - at < 1000 ? used - at : 1000);
    CHECK(n > 0);
    at += (size_t) n;
    result = mux_read(host.mux);
  }
  CHECK(result == -1);
  if (strstr(mux_why(host.mux), expected) == NULL) {
    fprintf(stderr, "expected \"%s\", got \"%s\"\n", expected, mux_why(host.mux));
    exit(1);
  }
  CHECK(mux_read(host.mux) == -1 && mux_write(host.mux) == -1);
  finish();
}

static void cut_frame(void) {
  start(false);
  CHECK(write(raw_guest, "\1\0\0\0", 4) == 4);
  CHECK(mux_read(host.mux) == 1);
  shutdown(raw_guest, SHUT_WR);
  CHECK(mux_read(host.mux) == -1 && strstr(mux_why(host.mux), "within a frame"));
  finish();
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  slow_reader_does_not_stall_others();
  half_close();
  dead_guest_is_bounded();
  hostile_frame("longer than 1 MiB", false, (1u << 20) + 1, 1, FRAME_STDOUT);
  hostile_frame("not in the protocol", false, 0, 1, 13);
  hostile_frame("not in the protocol", false, 0, 1, FRAME_REPLY | 0x100);
  hostile_frame("not in the protocol", false, 2, 1, FRAME_REQUEST);
  hostile_frame("not in the protocol", false, 2, 1, FRAME_STDIN);
  hostile_frame("not in the protocol", true, 7, 1, FRAME_EXIT);
  hostile_frame("never opened", false, 2, 9, FRAME_STDOUT);
  hostile_frame("nobody asked", false, 2, 0, FRAME_REPLY);
  hostile_frame("on stream 0", false, 2, 0, FRAME_STDOUT);
  hostile_frame("before the reply", false, 2, 1, FRAME_STDOUT);
  hostile_frame("second reply", true, 0, 1, FRAME_REPLY);
  hostile_frame("more data", true, MUX_WINDOW + 1, 1, FRAME_STDOUT);
  hostile_frame("beyond the window", true, 4, 1, FRAME_CREDIT);
  hostile_frame("session's stream", true, 2, 1, FRAME_EVENT);
  payload_byte = 1;
  hostile_frame("exit status", true, 8, 1, FRAME_EXIT);
  cut_frame();
  puts("mux: ok");
  return 0;
}
