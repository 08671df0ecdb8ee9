/* Files of a running workload. */
#include "container.h"
#include "files_session.h"
#include "util.h"

static void begin(struct wall *wall, struct link *link, const struct request *request, enum files_op op) {
  struct container *container = container_of(wall);
  struct error error = {0};
  cleanup_fd int root = container_check(container, request, true, &error) == 0 ? container_root(container, &error) : -1;
  if (root < 0)
    finish_error(link, &error);
  else
    files_session(container->loop, link, root, request->path, op, NULL, NULL);
}

void container_stat(struct wall *wall, struct link *link, const struct request *request) {
  begin(wall, link, request, FILES_STAT);
}
void container_archive_read(struct wall *wall, struct link *link, const struct request *request) {
  begin(wall, link, request, FILES_READ);
}
void container_archive_write(struct wall *wall, struct link *link, const struct request *request) {
  begin(wall, link, request, FILES_WRITE);
}
