import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { Paths } from "../lib/paths.ts";
import type { Undo } from "../lib/undo.ts";
import { GantryError } from "../model/errors.ts";
import { shortId } from "../model/ids.ts";
import type { Attachment, Network, NetworkRequest } from "../ports/network.ts";
import { Batcher } from "./batch.ts";
import { deleteLinks, linkExists, listLinks } from "./bridge.ts";
import { hostEndLines, linkOf, listNamespaces, makeNamespace, removeNamespaces } from "./ends.ts";
import type { Settings } from "./firewall.ts";
import { forgetUdpFlows } from "./flows.ts";
import { Ground, type Ready } from "./ground.ts";
import { isOurLink, linkName, type Names, namesOf } from "./names.ts";
import { waitForOrphans } from "./orphans.ts";
import { PortTable } from "./ports.ts";
import { elementsOf } from "./rules.ts";
import { macOf } from "./subnet.ts";
import { ipBatch } from "./tools.ts";

/** A bridge has 1,024 port numbers, of which the kernel gives out all but 0. */
const bridgePorts = 1023;

/** Milliseconds that the kernel gets to take a link away with its namespace. */
const namespacePatience = 50;

export interface NetworkOptions {
  paths: Pick<Paths, "tag" | "run">;
  /** Durable choices: the subnet, the rules last written, the rule in Docker's chain. */
  settings: Settings;
  /** CIDR; GANTRY_SUBNET when absent. */
  subnet?: string;
}

/** The network room on Linux: a bridge, network namespaces or taps, and nftables. */
export function createNetwork(options: NetworkOptions): Network {
  return new BridgeNetwork(options);
}

class BridgeNetwork implements Network {
  readonly #names: Names;
  readonly #namespaces: string;
  readonly #ground: Ground;
  readonly #ports: PortTable;
  /** By sandbox id, from before the first thing is made until after the last is gone. */
  readonly #attached = new Map<string, Attachment>();
  readonly #hostLinks = new Batcher<string[]>(async (groups) => {
    await ipBatch(groups.flat());
  });
  readonly #goneLinks = new Batcher<string>((links) => deleteLinks(this.#names, links));
  readonly #goneNamespaces = new Batcher<string>(removeNamespaces);

  constructor(options: NetworkOptions) {
    this.#names = namesOf(options.paths.tag);
    this.#namespaces = join(options.paths.run, "netns");
    const subnet = options.subnet ?? (process.env.GANTRY_SUBNET || undefined);
    this.#ground = new Ground(this.#names, options.settings, subnet, () => this.#connected());
    this.#ports = new PortTable(() => this.#ground.ready?.gateway);
  }

  /** Those with an address. */
  #connected(): Attachment[] {
    return [...this.#attached.values()].filter((attachment) => attachment.address !== undefined);
  }

  async setup(): Promise<void> {
    await this.#ground.ensure();
  }

  async attach(request: NetworkRequest, undo: Undo): Promise<Attachment> {
    const { sandboxId, mode, end } = request;
    if (this.#attached.has(sandboxId))
      throw new GantryError("exists", `sandbox ${shortId(sandboxId)} is attached already: detach it first`);
    if (mode === "none" && request.ports.length > 0)
      throw new GantryError(
        "invalid",
        "ports cannot be published with --network none: leave out -p or use --network nat",
      );
    const attachment: Attachment = { sandboxId, mode, end, ports: [] };
    this.#attached.set(sandboxId, attachment);
    undo.defer("network attachment", () => this.detach(attachment));
    if (end === "netns") attachment.netns = join(this.#namespaces, shortId(sandboxId));
    if (mode === "none") {
      if (attachment.netns) await makeNamespace(attachment.netns, attachment);
      return attachment;
    }
    const ready = await this.#ground.ensure();
    this.#address(attachment, request, ready);
    this.#ground.directory.add(attachment.address!, request.project, sandboxId);
    attachment.ports = await this.#ports.reserve(sandboxId, request.ports);
    // Both at once: they are different processes, and the instance does not run yet.
    const parts = [this.#connect(attachment), this.#ground.firewall.add(elementsOf(attachment))];
    for (const part of await Promise.allSettled(parts)) if (part.status === "rejected") throw part.reason;
    await forgetUdpFlows(attachment);
    return attachment;
  }

  /** Gives the attachment its address, and what follows from it. Throws `exhausted`. */
  #address(attachment: Attachment, request: NetworkRequest, { subnet, gateway, mtu, pool }: Ready): void {
    if (request.mac !== undefined && !/^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/i.test(request.mac))
      throw new GantryError("invalid", `MAC address ${JSON.stringify(request.mac)} is not that of a station`);
    if (this.#connected().length >= bridgePorts)
      throw new GantryError(
        "exhausted",
        `the bridge has no port left for more than ${bridgePorts} instances: stop some, or use --network none`,
      );
    const address = pool.allocate(request.address);
    const derived = request.address !== undefined && request.mac === macOf(request.address);
    Object.assign(attachment, { address, prefix: subnet.prefix, gateway, mtu });
    attachment.mac = request.mac === undefined || derived ? macOf(address) : request.mac.toLowerCase();
    const link = linkName(this.#names, attachment.end, pool.offset(address)!);
    if (attachment.end === "netns") attachment.hostLink = link;
    else attachment.tap = link;
  }

  async #connect(attachment: Attachment): Promise<void> {
    const link = linkOf(attachment)!;
    if (linkExists(link)) await this.#goneLinks.add(link); // made by what an engine had started when it was killed
    if (attachment.netns !== undefined) await makeNamespace(attachment.netns, attachment);
    await this.#hostLinks.add(hostEndLines(attachment, this.#names.bridge));
  }

  async detach(attachment: Attachment): Promise<void> {
    const parts = [this.#disconnect(attachment), this.#ground.firewall.remove(elementsOf(attachment))];
    for (const part of await Promise.allSettled(parts)) if (part.status === "rejected") throw part.reason;
    await forgetUdpFlows(attachment);
    // Only now may someone else get the address and the ports.
    this.#ports.release(attachment.sandboxId, attachment.ports);
    const { address } = attachment;
    const held = this.#attached.get(attachment.sandboxId);
    if (held?.address === address) this.#attached.delete(attachment.sandboxId);
    if (address === undefined) return;
    const owner = this.#ground.directory.owner(address)?.sandboxId;
    if (owner !== undefined && owner !== attachment.sandboxId) return; // detached twice, and given to another since
    this.#ground.directory.remove(address);
    this.#ground.ready?.pool.release(address);
  }

  /**
   * A namespace that nobody holds any longer takes its link along within a few milliseconds; deleting the link
   * oneself waits 30 ms or more for the kernel, so that is kept for the others.
   */
  async #disconnect(attachment: Attachment): Promise<void> {
    const link = linkOf(attachment);
    if (attachment.netns !== undefined) {
      await this.#goneNamespaces.add(attachment.netns);
      for (let waited = 0; link !== undefined && waited < namespacePatience && linkExists(link); waited++)
        await setTimeout(1);
    }
    if (link !== undefined && linkExists(link)) await this.#goneLinks.add(link);
  }

  setNames(project: string, attachment: Attachment, names: string[]): void {
    if (attachment.address === undefined || !this.#attached.has(attachment.sandboxId)) return;
    this.#ground.directory.add(attachment.address, project, attachment.sandboxId, names);
  }

  async reconcile(live: { project: string; attachment: Attachment; names: string[] }[]): Promise<void> {
    await waitForOrphans();
    const { directory } = this.#ground;
    this.#attached.clear();
    this.#ports.clear();
    directory.clear();
    for (const { project, attachment, names } of live) {
      const { sandboxId, address } = attachment;
      this.#attached.set(sandboxId, attachment);
      this.#ports.adopt(sandboxId, attachment.ports);
      if (address !== undefined) directory.add(address, project, sandboxId, names);
    }
    await this.#clear(live.map((one) => one.attachment));
    const connected = this.#connected();
    if (connected.length > 0 || linkExists(this.#names.bridge)) await this.#ground.rebuild(connected);
  }

  /** Removes our links and namespaces but those of `live`. */
  async #clear(live: readonly Attachment[]): Promise<void> {
    const keptLinks = new Set(live.map(linkOf));
    const keptFiles = new Set(live.map((attachment) => attachment.netns));
    const links = (await listLinks()).map((link) => link.ifname);
    const strays = links.filter((link) => isOurLink(this.#names, link) && !keptLinks.has(link));
    await deleteLinks(this.#names, strays);
    await removeNamespaces((await listNamespaces(this.#namespaces)).filter((file) => !keptFiles.has(file)));
  }

  async stop(): Promise<void> {
    await this.#ground.stop();
  }

  async teardown(): Promise<void> {
    await this.stop();
    await this.#clear([]);
    if (linkExists(this.#names.bridge)) await deleteLinks(this.#names, [this.#names.bridge]);
    await this.#ground.teardown();
    this.#attached.clear();
    this.#ports.clear();
  }

  async facts(): Promise<Record<string, string>> {
    return { ...this.#ground.facts(), attached: String(this.#connected().length) };
  }
}
