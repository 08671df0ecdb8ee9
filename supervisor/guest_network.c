#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest.h"
#include "util.h"

static int set_up(int socket, const char *name, struct error *error) {
  struct ifreq request = {0};
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  if (ioctl(socket, SIOCGIFFLAGS, &request) < 0) return error_errno(error, "flags of %s", name);
  request.ifr_flags |= IFF_UP;
  if (ioctl(socket, SIOCSIFFLAGS, &request) < 0) return error_errno(error, "bring %s up", name);
  return 0;
}

/* The first interface that is not the loopback. */
static int find_card(char name[IFNAMSIZ], struct error *error) {
  for (int64_t end = monotonic_ms() + 5000; monotonic_ms() < end; usleep(1000)) {
    DIR *links = opendir("/sys/class/net");
    bool found = false;
    for (struct dirent *entry; links && !found && (entry = readdir(links));) {
      if (entry->d_name[0] == '.' || strcmp(entry->d_name, "lo") == 0) continue;
      snprintf(name, IFNAMSIZ, "%.15s", entry->d_name);
      found = true;
    }
    if (links) closedir(links);
    if (found) return 0;
  }
  return error_set(error, "unavailable", "the guest has no network card, but was given an address");
}

static int set_mac(int socket, struct ifreq *request, const char *mac, struct error *error) {
  unsigned char bytes[6];
  if (sscanf(mac, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", bytes, bytes + 1, bytes + 2, bytes + 3, bytes + 4,
             bytes + 5) != 6)
    return error_set(error, "invalid", "network mac \"%.40s\" is no address", mac);
  if (ioctl(socket, SIOCGIFHWADDR, request) == 0 && memcmp(request->ifr_hwaddr.sa_data, bytes, 6) == 0) return 0;
  request->ifr_hwaddr.sa_family = ARPHRD_ETHER;
  memcpy(request->ifr_hwaddr.sa_data, bytes, 6);
  if (ioctl(socket, SIOCSIFHWADDR, request) < 0) return error_errno(error, "set mac %s", mac);
  return 0;
}

static int parse_address(const char *text, struct sockaddr *out, struct error *error) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  if (inet_pton(AF_INET, text, &address.sin_addr) != 1)
    return error_set(error, "invalid", "network address \"%.40s\" is not IPv4", text);
  memcpy(out, &address, sizeof address);
  return 0;
}

static int set_address(int socket, struct ifreq *request, const char *text, int64_t prefix, struct error *error) {
  struct sockaddr_in mask = {.sin_family = AF_INET,
                             .sin_addr.s_addr = prefix ? htonl(UINT32_MAX << (32 - prefix)) : 0};
  if (parse_address(text, &request->ifr_addr, error) < 0) return -1;
  if (ioctl(socket, SIOCSIFADDR, request) < 0) return error_errno(error, "set address %s", text);
  memcpy(&request->ifr_netmask, &mask, sizeof mask);
  if (ioctl(socket, SIOCSIFNETMASK, request) < 0) return error_errno(error, "set prefix %d", (int)prefix);
  return 0;
}

static int add_route(int socket, char *name, const char *gateway, struct error *error) {
  struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY, .rt_dev = name};
  route.rt_dst.sa_family = route.rt_genmask.sa_family = AF_INET;
  if (parse_address(gateway, &route.rt_gateway, error) < 0) return -1;
  if (ioctl(socket, SIOCADDRT, &route) < 0) return error_errno(error, "route by %s", gateway);
  return 0;
}

int guest_network(const json_t *network, struct error *error) {
  cleanup_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return error_errno(error, "network socket");
  if (set_up(fd, "lo", error) < 0) return -1;
  if (!network) return 0;

  char name[IFNAMSIZ];
  const char *address, *mac = want_string(network, "mac", NULL), *gateway = want_string(network, "gateway", NULL);
  int64_t prefix, mtu = want_int(network, "mtu", 0);
  if (need_string(network, "address", &address, error) < 0 ||
      need_int(network, "prefix", 0, 32, &prefix, error) < 0 || find_card(name, error) < 0)
    return -1;
  struct ifreq request = {0};
  memcpy(request.ifr_name, name, sizeof name);
  if (mac && set_mac(fd, &request, mac, error) < 0) return -1;
  if (mtu > 0) {
    request.ifr_mtu = (int)mtu;
    if (ioctl(fd, SIOCSIFMTU, &request) < 0) return error_errno(error, "set mtu %d", (int)mtu);
  }
  if (set_address(fd, &request, address, prefix, error) < 0 || set_up(fd, name, error) < 0) return -1;
  if (gateway && add_route(fd, name, gateway, error) < 0) return -1;
  return 0;
}
