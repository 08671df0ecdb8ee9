import { existsSync } from "node:fs";
import { GantryError } from "../model/errors.ts";
import { linkExists } from "./bridge.ts";
import type { Settings } from "./firewall.ts";
import type { Names } from "./names.ts";
import { forwardMark } from "./rules.ts";
import { run } from "./tools.ts";

const chain = "DOCKER-USER";
const key = "network.dockerRule";

/**
 * Docker drops what it does not know in the FORWARD chain, of our bridge too, and an accept in our own table cannot
 * change that. Its chain DOCKER-USER is for such cases: one rule there accepts what our forward chain has marked.
 */
export class DockerRule {
  readonly #settings: Settings;
  readonly #rule: string[];
  /** For `facts`. */
  state = "not needed";

  constructor(names: Names, settings: Settings) {
    this.#settings = settings;
    const mark = `${forwardMark}/${forwardMark}`;
    this.#rule = ["-m", "mark", "--mark", mark, "-m", "comment", "--comment", names.mark, "-j", "ACCEPT"];
  }

  /** Puts the rule first in the chain when Docker is here and it is missing. Costs no process without Docker. */
  async ensure(): Promise<void> {
    if (!dockerIsHere()) {
      this.state = "not needed";
      return;
    }
    try {
      const { status, stdout } = await run(["iptables", "-w", "2", "-S", chain], { ok: [0, 1, 2, 3, 4] });
      if (status !== 0) {
        this.state = "Docker has no DOCKER-USER chain yet";
        return;
      }
      const comment = this.#rule[this.#rule.indexOf("--comment") + 1]!;
      if (!stdout.includes(comment)) {
        this.#settings.set(key, JSON.stringify(["-D", chain, ...this.#rule])); // first, so that a crash forgets nothing
        await run(["iptables", "-w", "2", "-I", chain, "1", ...this.#rule]);
      }
      this.state = "present";
    } catch (error) {
      this.state = `missing: ${GantryError.from(error).message}`;
    }
  }

  /** Takes it away as recorded; idempotent. */
  async remove(): Promise<void> {
    const recorded = this.#settings.get(key);
    if (!recorded) return;
    await run(["iptables", "-w", "5", ...(JSON.parse(recorded) as string[])], { ok: [0, 1, 2, 3, 4] });
    this.#settings.set(key, "");
    this.state = "not needed";
  }
}

const dockerIsHere = (): boolean =>
  linkExists("docker0") || existsSync("/run/docker.pid") || existsSync("/run/docker.sock");
