import { GantryError } from "../model/errors.ts";
import type { Images } from "../ports/image.ts";
import type { ImagesOptions } from "./index.ts";

/** The image room behind its port. */
export class ImageRoom implements Images {
  constructor(readonly options: ImagesOptions) {}
  #soon(): never {
    throw new GantryError("unsupported", "the image store is not built yet");
  }
  resolve: Images["resolve"] = async () => this.#soon();
  byDigest: Images["byDigest"] = async () => this.#soon();
  list: Images["list"] = async () => this.#soon();
  tag: Images["tag"] = async () => this.#soon();
  remove: Images["remove"] = async () => this.#soon();
  import: Images["import"] = async () => this.#soon();
  load: Images["load"] = async () => this.#soon();
  save: Images["save"] = async () => this.#soon();
  bootstrap: Images["bootstrap"] = async () => this.#soon();
  copyOut: Images["copyOut"] = async () => this.#soon();
  collect: Images["collect"] = async () => this.#soon();
  lease: Images["lease"] = () => this.#soon();
  reconcile: Images["reconcile"] = async () => this.#soon();
}
