import { bool, command, list } from "../command.ts";
import { showAge, showMoment, showSize } from "../human.ts";
import { listFlags, printListing, type Row } from "../listing.ts";
import { parseFilters } from "../values/env.ts";
import { splitName } from "../views/image-name.ts";

export default command({
  usage: "[flags] [NAME]",
  about: "Lists images, newest first.",
  flags: {
    ...listFlags,
    all: bool("Accepted for old habits: all are shown anyway", { short: "a" }),
    digests: bool("Show the whole digests"),
    filter: list("NAME=VALUE", "Only some: reference, dangling", { short: "f" }),
  },
  later: { tree: "" },
  args: [0, 1],
  examples: [
    ["gantry images", "All of them"],
    ["gantry images debian", "Those of one name"],
    ["gantry images --format '{{.Repository}}:{{.Tag}} {{.Size}}'", "A format of one's own"],
  ],
  async run({ api }, [name], flags) {
    const filters = parseFilters(flags.filter, ["reference", "dangling"]);
    const whole = flags["no-trunc"] || flags.json;
    const rows: Row[] = (await api.images())
      .sort((a, b) => b.created - a.created)
      .map((image) => {
        const { repository, tag } = splitName(image.name);
        const hex = image.digest.replace(/^sha256:/, "");
        return {
          Repository: repository,
          Tag: tag,
          ID: whole ? image.digest : hex.slice(0, 12),
          Digest: image.digest,
          CreatedAt: showMoment(image.created),
          CreatedSince: showAge(image.created),
          Size: showSize(image.size),
          Containers: String(image.instances),
        };
      })
      .filter((row) => {
        const wanted = [...(name === undefined ? [] : [name]), ...(filters.reference ?? [])];
        const names = [row.Repository, `${row.Repository}:${row.Tag}`].flatMap((n) => [
          n,
          n.replace(/^localhost\//, ""),
        ]);
        const dangling = filters.dangling?.at(-1);
        return (
          wanted.every((w) => names.includes(w)) &&
          (dangling === undefined || (dangling === "true") === (row.Repository === "<none>"))
        );
      });
    await printListing(
      {
        rows,
        key: "ID",
        columns: [
          ["REPOSITORY", "Repository"],
          ["TAG", "Tag"],
          ...(flags.digests ? ([["DIGEST", "Digest"]] as const) : []),
          ["IMAGE ID", "ID"],
          ["CREATED", "CreatedSince"],
          ["SIZE", "Size"],
        ],
      },
      flags,
    );
    return 0;
  },
});
