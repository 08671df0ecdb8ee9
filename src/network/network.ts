import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { Paths } from "../lib/paths.ts";
import type { Undo } from "../lib/undo.ts";
import { GantryError } from "../model/errors.ts";
import { shortId } from "../model/ids.ts";
import type { Attachment, Network, NetworkRequest } from "../ports/network.ts";
import { AddressPool } from "./addresses.ts";
import { Batcher } from "./batch.ts";
import {
  bridgeIntact,
  chooseSubnet,
  ensureBridge,
  type Link,
  linkExists,
  listLinks,
  mustGiveWay,
  uplinkMtu,
} from "./bridge.ts";
import { Directory } from "./dns/directory.ts";
import { DnsServer } from "./dns/server.ts";
import { DockerRule } from "./docker.ts";
import {
  bridgePortLines,
  hostEndLines,
  linkOf,
  listNamespaces,
  makeNamespace,
  removeNamespaces,
} from "./ends.ts";
import { Firewall, type Settings } from "./firewall.ts";
import { isOurLink, linkName, type Names, namesOf } from "./names.ts";
import { PortTable } from "./ports.ts";
import { elementsOf, noElements } from "./rules.ts";
import { formatSubnet, gatewayOf, macOf, type Subnet, subnetOf } from "./subnet.ts";
import { ipBatch, ipBatchForce } from "./tools.ts";
import { Watcher } from "./watcher.ts";

/** A bridge has 1,024 port numbers, of which the kernel gives out all but 0. */
const bridgePorts = 1023;

interface Attached {
  project: string;
  attachment: Attachment;
}

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

interface Ready {
  subnet: Subnet;
  mtu: number;
  pool: AddressPool;
}

class BridgeNetwork implements Network {
  readonly #settings: Settings;
  readonly #names: Names;
  readonly #namespaces: string;
  readonly #wantedSubnet: string | undefined;
  readonly #firewall: Firewall;
  readonly #ports: PortTable;
  /** By sandbox id. */
  readonly #attached = new Map<string, Attached>();
  readonly #hostLinks = new Batcher<string[]>(async (groups) => {
    await ipBatch(groups.flat());
  });
  readonly #goneLinks = new Batcher<string>(async (links) => {
    await ipBatchForce(links.map((link) => `link del dev ${link}`));
  });
  readonly #goneNamespaces = new Batcher<string>(removeNamespaces);
  readonly #directory = new Directory();
  readonly #docker: DockerRule;
  readonly #watcher = new Watcher(() => this.#watch());
  #dns: DnsServer | undefined;
  #setup: Promise<Ready> | undefined;
  #ready: Ready | undefined;

  constructor(options: NetworkOptions) {
    this.#settings = options.settings;
    this.#names = namesOf(options.paths.tag);
    this.#namespaces = join(options.paths.run, "netns");
    this.#wantedSubnet = options.subnet ?? (process.env.GANTRY_SUBNET || undefined);
    this.#firewall = new Firewall(options.settings);
    this.#docker = new DockerRule(this.#names, options.settings);
    this.#ports = new PortTable(() => this.#ready && gatewayOf(this.#ready.subnet));
  }

  async setup(): Promise<void> {
    await this.#ensure();
  }

  #ensure(): Promise<Ready> {
    this.#setup ??= this.#make().catch((error) => {
      this.#setup = undefined; // the next attach tries again
      throw error;
    });
    return this.#setup;
  }

  /** `live`: what the tables shall hold; when absent, what they hold already. */
  async #make(live?: readonly Attachment[]): Promise<Ready> {
    const first = live?.[0];
    const stored = first ? subnetOf(first) : this.#settings.get("network.subnet");
    // Living instances keep the network that they are in.
    const wanted = first ? undefined : this.#wantedSubnet;
    let subnet = await chooseSubnet(this.#names, stored, wanted);
    const links = await listLinks();
    const mtu = await uplinkMtu(links, this.#names.bridge);
    for (let tries = 0; ; tries++) {
      const missing = await ensureBridge(this.#names, subnet, mtu);
      if (!missing || tries === 5 || wanted || stored || !(await mustGiveWay(this.#names, subnet))) break;
      await ipBatchForce([`link del dev ${this.#names.bridge}`]);
      subnet = await chooseSubnet(this.#names, undefined, undefined);
    }
    if (this.#settings.get("network.subnet") !== formatSubnet(subnet))
      this.#settings.set("network.subnet", formatSubnet(subnet));
    const pool = new AddressPool(subnet);
    const elements = noElements();
    for (const attachment of live ?? []) {
      pool.take(attachment.address!);
      this.#ports.adopt(attachment.sandboxId, attachment.ports);
      for (const [set, key, value] of elementsOf(attachment)) elements[set].set(key, value);
    }
    const dnsPort = await this.#serveNames(subnet);
    await this.#firewall.install({ names: this.#names, subnet, dnsPort }, live && elements);
    if (live) await this.#putBack(live, links);
    await this.#docker.ensure();
    this.#watcher.start();
    this.#ready = { subnet, mtu, pool };
    return this.#ready;
  }

  /** Starts the name server unless it runs; the network works without it, and `facts` tells. */
  async #serveNames(subnet: Subnet): Promise<number> {
    if (!this.#dns?.running) {
      this.#dns = new DnsServer(this.#directory, subnet);
      await this.#dns.start().catch(() => {});
    }
    return this.#dns.port || 53;
  }

  /** What someone else may have taken away while instances run: our rules, the bridge, Docker's chain. */
  async #watch(): Promise<void> {
    const live = [...this.#attached.values()]
      .map((one) => one.attachment)
      .filter((one) => one.address !== undefined);
    if (live.length === 0 || !this.#ready) return;
    if (!(await this.#firewall.intact())) await this.#firewall.restore();
    if (!(await bridgeIntact(this.#names))) {
      await ensureBridge(this.#names, this.#ready.subnet, this.#ready.mtu);
      await this.#putBack(live, await listLinks());
    }
    await this.#docker.ensure();
  }

  /** Living host ends that are not in the bridge (someone deleted it) go back into it. */
  async #putBack(live: readonly Attachment[], links: readonly Link[]): Promise<void> {
    const master = new Map(links.map((link) => [link.ifname, link.master ?? ""]));
    const lines = live
      .filter((attachment) => (master.get(linkOf(attachment)!) ?? this.#names.bridge) !== this.#names.bridge)
      .flatMap((attachment) => bridgePortLines(attachment, this.#names.bridge));
    if (lines.length > 0) await ipBatchForce(lines);
  }

  async attach(request: NetworkRequest, undo: Undo): Promise<Attachment> {
    if (this.#attached.has(request.sandboxId))
      throw new GantryError(
        "exists",
        `sandbox ${shortId(request.sandboxId)} is attached already: detach it first`,
      );
    const attachment: Attachment = {
      sandboxId: request.sandboxId,
      mode: request.mode,
      end: request.end,
      ports: [],
    };
    if (request.mode === "none" && request.ports.length > 0)
      throw new GantryError(
        "invalid",
        "ports cannot be published with --network none: leave out -p or use --network nat",
      );
    if (request.mode === "none" && request.end === "tap") return attachment;
    const ready = request.mode === "nat" ? await this.#ensure() : undefined;
    if (ready) this.#checkRoom();
    this.#attached.set(request.sandboxId, { project: request.project, attachment });
    undo.defer("network attachment", () => this.detach(attachment));
    if (request.end === "netns") attachment.netns = join(this.#namespaces, shortId(request.sandboxId));
    if (!ready) {
      await makeNamespace(attachment.netns!, attachment);
      return attachment;
    }
    this.#address(attachment, request, ready);
    this.#directory.add(attachment.address!, request.project, request.sandboxId);
    attachment.ports = await this.#ports.reserve(request.sandboxId, request.ports);
    // Both at once: they are different processes, and the instance does not run yet.
    const done = await Promise.allSettled([
      this.#connect(attachment),
      this.#firewall.add(elementsOf(attachment)),
    ]);
    for (const part of done) if (part.status === "rejected") throw part.reason;
    return attachment;
  }

  #checkRoom(): void {
    let used = 0;
    for (const { attachment } of this.#attached.values()) if (attachment.mode === "nat") used++;
    if (used >= bridgePorts)
      throw new GantryError(
        "exhausted",
        `the bridge has no port left: ${used} instances are attached, which is the kernel's limit; stop some or use --network none`,
      );
  }

  #address(attachment: Attachment, request: NetworkRequest, { subnet, mtu, pool }: Ready): void {
    const address = pool.allocate(request.address);
    const derived = request.address !== undefined && request.mac === macOf(request.address);
    attachment.address = address;
    attachment.prefix = subnet.prefix;
    attachment.gateway = gatewayOf(subnet);
    attachment.mac = request.mac === undefined || derived ? macOf(address) : request.mac.toLowerCase();
    attachment.mtu = mtu;
    if (!/^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/.test(attachment.mac))
      throw new GantryError("invalid", `MAC address ${JSON.stringify(request.mac)} is none of a station`);
    const link = linkName(this.#names, attachment.end, pool.offset(address)!);
    if (attachment.end === "netns") attachment.hostLink = link;
    else attachment.tap = link;
  }

  async #connect(attachment: Attachment): Promise<void> {
    const link = linkOf(attachment)!;
    if (linkExists(link)) await this.#goneLinks.add(link); // made by what an engine had started when it was killed
    if (attachment.end === "netns") await makeNamespace(attachment.netns!, attachment);
    await this.#hostLinks.add(hostEndLines(attachment, this.#names.bridge));
  }

  async detach(attachment: Attachment): Promise<void> {
    const results = await Promise.allSettled([
      this.#disconnect(attachment),
      this.#firewall.remove(elementsOf(attachment)),
    ]);
    for (const result of results) if (result.status === "rejected") throw result.reason;
    // Only now may someone else get the address and the ports.
    const held = this.#attached.get(attachment.sandboxId)?.attachment;
    if (held && held.address === attachment.address) {
      this.#attached.delete(attachment.sandboxId);
      if (attachment.address !== undefined) this.#directory.remove(attachment.address);
    }
    this.#ports.release(attachment.sandboxId, attachment.ports);
    if (attachment.address !== undefined && !this.#addressHeld(attachment.address))
      this.#ready?.pool.release(attachment.address);
  }

  /**
   * A namespace that nobody holds any longer takes its link along within a few milliseconds; deleting the link
   * oneself waits 30 ms or more for the kernel, so that is kept for the others.
   */
  async #disconnect(attachment: Attachment): Promise<void> {
    const link = linkOf(attachment);
    if (attachment.netns !== undefined) {
      await this.#goneNamespaces.add(attachment.netns);
      for (let waited = 0; link !== undefined && waited < 50 && linkExists(link); waited++)
        await setTimeout(1);
    }
    if (link !== undefined && linkExists(link)) await this.#goneLinks.add(link);
  }

  #addressHeld(address: string): boolean {
    for (const { attachment } of this.#attached.values()) if (attachment.address === address) return true;
    return false;
  }

  setNames(project: string, attachment: Attachment, names: string[]): void {
    if (attachment.address === undefined || !this.#attached.has(attachment.sandboxId)) return;
    this.#directory.add(attachment.address, project, attachment.sandboxId, names);
  }

  async reconcile(live: { project: string; attachment: Attachment; names: string[] }[]): Promise<void> {
    this.#attached.clear();
    for (const { project, attachment } of live)
      this.#attached.set(attachment.sandboxId, { project, attachment });
    const keepLinks = new Set(live.map(({ attachment }) => linkOf(attachment)));
    const keepNamespaces = new Set(live.map(({ attachment }) => attachment.netns));
    const links = await listLinks();
    const strayLinks = links
      .map((link) => link.ifname)
      .filter((name) => isOurLink(this.#names, name) && !keepLinks.has(name));
    if (strayLinks.length > 0) await ipBatchForce(strayLinks.map((link) => `link del dev ${link}`));
    const strayNamespaces = (await listNamespaces(this.#namespaces)).filter(
      (file) => !keepNamespaces.has(file),
    );
    await removeNamespaces(strayNamespaces);

    const nat = live
      .map((one) => one.attachment)
      .filter((one) => one.mode === "nat" && one.address !== undefined);
    if (nat.length === 0 && !linkExists(this.#names.bridge)) return;
    this.#ready = undefined;
    this.#setup = undefined;
    const making = this.#make(nat).catch((error) => {
      this.#setup = undefined;
      throw error;
    });
    this.#setup = making;
    await making;
  }

  async stop(): Promise<void> {
    await this.#watcher.stop();
    this.#dns?.stop();
  }

  async teardown(): Promise<void> {
    await this.stop();
    const links = (await listLinks()).map((link) => link.ifname);
    const ours = links.filter((name) => isOurLink(this.#names, name) || name === this.#names.bridge);
    if (ours.length > 0) await ipBatchForce(ours.map((link) => `link del dev ${link}`));
    await removeNamespaces(await listNamespaces(this.#namespaces));
    await this.#firewall.destroy(this.#names.table);
    await this.#docker.remove();
    this.#attached.clear();
    this.#directory.clear();
    this.#setup = undefined;
    this.#ready = undefined;
  }

  async facts(): Promise<Record<string, string>> {
    const dns = this.#dns;
    return {
      bridge: this.#names.bridge,
      subnet: this.#ready
        ? formatSubnet(this.#ready.subnet)
        : (this.#settings.get("network.subnet") ?? "not chosen yet"),
      attached: String([...this.#attached.values()].filter((one) => one.attachment.mode === "nat").length),
      dns: dns?.running ? `${gatewayOf(this.#ready!.subnet)}:${dns.port}` : "not running",
      dockerUserRule: this.#docker.state,
      ...(this.#watcher.failure && { problem: this.#watcher.failure }),
    };
  }
}
