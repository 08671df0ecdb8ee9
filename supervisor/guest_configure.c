#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include "base64.h"
#include "guest.h"
#include "util.h"

enum { random_bytes = 64 };

/* Credits the host's bytes and makes the kernel use them now: a clone of another guest shares its state until then. */
static int seed(const char *text, struct error *error) {
  struct {
    struct rand_pool_info info;
    uint8_t bytes[random_bytes];
  } pool = {.info = {.entropy_count = random_bytes * 8, .buf_size = random_bytes}};
  cleanup_free uint8_t *bytes = NULL;
  ssize_t length = base64_decode(text, &bytes);
  if (length != random_bytes)
    return error_set(error, "invalid", "random must be %d bytes in base64, not %zd", random_bytes, length);
  memcpy(pool.info.buf, bytes, random_bytes);
  cleanup_fd int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
  int result = fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) < 0 || ioctl(fd, RNDRESEEDCRNG, 0) < 0 ? -1 : 0;
  if (result < 0) error_errno(error, "add randomness");
  explicit_bzero(bytes, random_bytes);
  explicit_bzero(&pool, sizeof pool);
  return result;
}

static int set_time(int64_t nanoseconds, struct error *error) {
  struct timespec now = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
  if (clock_settime(CLOCK_REALTIME, &now) < 0) return error_errno(error, "set the clock");
  return 0;
}

int guest_configure(struct guest *guest, const json_t *body, struct error *error) {
  const char *hostname = want_string(body, "hostname", "gantry"), *random;
  int64_t nanoseconds;
  if (guest->configured) return error_set(error, "conflict", "the guest is configured already");
  if (need_int(body, "time", 1, INT64_MAX, &nanoseconds, error) < 0 || set_time(nanoseconds, error) < 0) return -1;
  if (need_string(body, "random", &random, error) < 0 || seed(random, error) < 0) return -1;
  if (sethostname(hostname, strnlen(hostname, 64)) < 0) return error_errno(error, "set hostname %s", hostname);

  const json_t *network = json_object_get(body, "network");
  if (json_is_object(network) && guest_load_modules("net", error) < 0) return -1;
  if (guest_network(json_is_object(network) ? network : NULL, error) < 0) return -1;
  const json_t *shares = json_object_get(body, "shares");
  if (json_is_true(shares) || json_array_size(shares) > 0 || json_integer_value(shares) > 0) {
    if (mount("gantry", "/run/gantry/shares", "virtiofs", MS_NOSUID | MS_NODEV, NULL) < 0)
      return error_errno(error, "mount the host's shared folders");
    guest->shares = true;
  }
  guest->configured = true;
  guest_drop_initramfs();
  return 0;
}
