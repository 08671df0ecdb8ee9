/*
 * gantry-supervisor unpack --dest DIR [--whiteouts] [--end-optional] [--sync]
 *                          [--lower DIR]... [--max-bytes N] [--max-entries N]
 *
 * Unpacks the tar on standard input into the folder DIR, which becomes the root of this process first.
 *   --whiteouts     OCI layer: .wh.NAME becomes an overlayfs whiteout, .wh..wh..opq an opaque folder; DIR is fresh
 *   --end-optional  the archive's end mark may be missing (the caller has checked a digest over the whole)
 *   --sync          everything is on disk before the report (syncfs)
 *   --lower         with --whiteouts: a layer below, topmost first. Folders that the archive only implies get the
 *                   owner and mode they have there (else 0755, root), so that they look the same in the whole
 *   --max-bytes     of the archive as it comes in; default 1 TiB
 *   --max-entries   headers of any kind; default 10,000,000
 * Standard output, at the end: {"entries","bytes","droppedXattrs","root":"pivot"|"chroot"}, where bytes are those of
 * file content. On failure exit status 1 and {"code","message"} on standard error; what was unpacked so far stays.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/capability.h>

#include "archive.h"
#include "archive_below.h"
#include "confine.h"
#include "mode_report.h"
#include "modes.h"
#include "util.h"

struct unpack_options {
  const char *dest;
  struct archive_limits limits;
  unsigned flags;
  bool sync;
  const char **lower; /* `lower_count` of them */
  size_t lower_count;
};

static int parse_options(int argc, char **argv, struct unpack_options *options, struct error *error) {
  static const struct option known[] = {
      {"dest", required_argument, NULL, 'd'},
      {"whiteouts", no_argument, NULL, 'w'},
      {"end-optional", no_argument, NULL, 'e'},
      {"sync", no_argument, NULL, 's'},
      {"lower", required_argument, NULL, 'l'},
      {"max-bytes", required_argument, NULL, 'b'},
      {"max-entries", required_argument, NULL, 'n'},
      {NULL, 0, NULL, 0},
  };
  *options = (struct unpack_options){.limits = ARCHIVE_LIMITS, .flags = ARCHIVE_SET_DEST};
  opterr = 0;
  for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
    switch (option) {
      case 'd': options->dest = optarg; break;
      case 'w': options->flags |= ARCHIVE_WHITEOUTS; break;
      case 'e': options->flags |= ARCHIVE_END_OPTIONAL; break;
      case 's': options->sync = true; break;
      case 'l':
        options->lower = xrealloc(options->lower, (options->lower_count + 1) * sizeof *options->lower);
        options->lower[options->lower_count++] = optarg;
        break;
      case 'b':
        if (parse_count("--max-bytes", optarg, &options->limits.bytes, error) < 0) return -1;
        break;
      case 'n':
        if (parse_count("--max-entries", optarg, &options->limits.entries, error) < 0) return -1;
        break;
      default:
        return error_set(error, "invalid", "unpack: the option %s is not known or lacks its value", argv[optind - 1]);
    }
  }
  if (options->lower_count > 0 && !(options->flags & ARCHIVE_WHITEOUTS))
    return error_set(error, "invalid", "unpack: --lower goes with --whiteouts only");
  if (!options->dest || optind < argc)
    return error_set(error, "invalid", "usage: unpack --dest DIR [options] <archive");
  return 0;
}

static int unpack(const struct unpack_options *options, struct error *error) {
  uint64_t capabilities = confine_archive_capabilities;
  if (options->flags & ARCHIVE_WHITEOUTS) capabilities |= CAP_BIT(CAP_SYS_ADMIN); /* trusted.overlay.opaque */
  bool pivoted;
  struct archive_below below = {0};
  if (confine_descriptors(NULL, 0, error) < 0 || confine_namespaces(error) < 0) return -1;
  for (size_t i = 0; i < options->lower_count; i++)
    if (archive_below_add(&below, options->lower[i], error) < 0) return -1;
  if (confine_root(options->dest, &pivoted, error) < 0 || confine_privileges(capabilities, error) < 0 ||
      confine_syscalls(error) < 0)
    return -1;
  cleanup_fd int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return error_errno(error, "folder %s cannot be opened", options->dest);
  struct archive_result result;
  const struct archive_below *layers = below.count > 0 ? &below : NULL;
  if (archive_read_layer(root, "/", STDIN_FILENO, &options->limits, options->flags, layers, &result, error) < 0)
    return -1;
  archive_below_free(&below);
  if (options->sync && syncfs(root) < 0) return error_errno(error, "folder %s cannot be synced", options->dest);
  return report_json(json_pack("{s:I, s:I, s:I, s:s}", "entries", (json_int_t)result.entries, "bytes",
                               (json_int_t)result.bytes, "droppedXattrs", (json_int_t)result.dropped, "root",
                               pivoted ? "pivot" : "chroot"),
                     error);
}

int unpack_main(int argc, char **argv) {
  struct unpack_options options;
  struct error error = {.code = "internal"};
  if (parse_options(argc, argv, &options, &error) < 0 || unpack(&options, &error) < 0) return report_error(&error);
  return 0;
}
