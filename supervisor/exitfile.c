#include "exitfile.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

json_t *exit_record(const char *workload, int64_t generation, int exit_code, bool out_of_memory, int64_t finished_at) {
  return json_pack("{s:s s:I s:i s:b s:I}", "workload", workload, "generation", (json_int_t)generation, "exitCode",
                   exit_code, "oomKilled", out_of_memory, "finishedAt", (json_int_t)finished_at);
}

int exitfile_write(const char *path, const json_t *record, struct error *error) {
  cleanup_free char *temporary = xprintf("%s.tmp", path);
  cleanup_free char *text = json_dumps(record, JSON_COMPACT);
  if (!text) return error_set(error, "internal", "exit record is no JSON");
  cleanup_fd int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return error_errno(error, "open %s", temporary);
  if (write_all(fd, text, strlen(text)) < 0 || fsync(fd) < 0 || rename(temporary, path) < 0) {
    error_errno(error, "write %s", path);
    unlink(temporary);
    return -1;
  }
  return 0;
}
