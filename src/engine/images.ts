import type { Image, Images } from "../ports/image.ts";
import type { Context } from "./context.ts";

/** The image room, with an event for each thing that it does. */
export function announcedImages(context: Context): Images {
  const { images } = context;
  const tell = (project: string, action: string, { digest, name }: Pick<Image, "digest" | "name">): void =>
    context.events.add({
      time: Date.now(),
      type: "image",
      action,
      id: digest,
      project,
      attributes: { name: name ?? digest },
    });
  return {
    resolve: (...args) => images.resolve(...args),
    byDigest: (...args) => images.byDigest(...args),
    list: (...args) => images.list(...args),
    save: (...args) => images.save(...args),
    remove: (...args) => images.remove(...args),
    copyOut: (...args) => images.copyOut(...args),
    collect: (...args) => images.collect(...args),
    lease: (...args) => images.lease(...args),
    reconcile: () => images.reconcile(),
    async tag(project, reference, name) {
      await images.tag(project, reference, name);
      tell(project, "tag", await images.resolve(project, name));
    },
    async import(project, ...rest) {
      const image = await images.import(project, ...rest);
      tell(project, "import", image);
      return image;
    },
    async load(project, ...rest) {
      const loaded = await images.load(project, ...rest);
      for (const image of loaded) tell(project, "load", image);
      return loaded;
    },
    async bootstrap(project, ...rest) {
      const image = await images.bootstrap(project, ...rest);
      tell(project, "bootstrap", image);
      return image;
    },
  };
}
