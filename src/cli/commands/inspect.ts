import { GantryError } from "../../model/errors.ts";
import { command, UsageError, value } from "../command.ts";
import { inspectAll } from "../inspect-all.ts";
import { imageDetails } from "../views/image-details.ts";
import { instanceDetails } from "../views/instance-details.ts";
import { volumeDetails } from "../views/volume-details.ts";

const types = ["container", "instance", "image", "volume"] as const;

export default command({
  usage: "[flags] NAME...",
  about: "Shows everything about instances, images or volumes, as a JSON array or by a template.",
  flags: {
    format: value("TEMPLATE", "Show by a template: {{.State.Status}}, {{json .Mounts}}, or json", {
      short: "f",
    }),
    type: value("TYPE", "Look only for an instance, image or volume", { completes: types }),
  },
  later: { size: "", s: "", latest: "", l: "" },
  args: [1, Number.POSITIVE_INFINITY],
  examples: [
    ["gantry inspect web", "Everything"],
    ["gantry inspect -f '{{.NetworkSettings.IPAddress}}' web", "Its address"],
    ["gantry inspect -f '{{.State.ExitCode}} {{.Isolation}}' web db", "A line for each"],
  ],
  async run({ api }, names, flags) {
    if (flags.type !== undefined && !(types as readonly string[]).includes(flags.type))
      throw new UsageError(`--type takes ${types.join(", ")}, not ${JSON.stringify(flags.type)}`);
    const type = flags.type === "instance" ? "container" : flags.type;
    const looks = [
      {
        type: "container",
        look: async (name: string): Promise<unknown> => instanceDetails(await api.inspect(name)),
      },
      {
        type: "image",
        look: async (name: string): Promise<unknown> => imageDetails(await api.inspectImage(name)),
      },
      {
        type: "volume",
        look: async (name: string): Promise<unknown> => volumeDetails(await api.inspectVolume(name)),
      },
    ].filter((l) => type === undefined || l.type === type);
    const look = async (name: string): Promise<unknown> => {
      for (const { look } of looks) {
        try {
          return await look(name);
        } catch (error) {
          // A name that cannot be an image's may still be a volume's.
          const { code } = GantryError.from(error);
          if (looks.length === 1 || (code !== "not_found" && code !== "invalid")) throw error;
        }
      }
      throw new GantryError("not_found", `there is no instance, image or volume ${JSON.stringify(name)}`);
    };
    return inspectAll(names, look, flags.format);
  },
});
