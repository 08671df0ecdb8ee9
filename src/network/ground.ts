import type { Attachment } from "../ports/network.ts";
import { AddressPool } from "./addresses.ts";
import {
  bridgeIntact,
  chooseSubnet,
  deleteLinks,
  ensureBridge,
  type Link,
  listLinks,
  mustGiveWay,
  uplinkMtu,
} from "./bridge.ts";
import { Directory } from "./dns/directory.ts";
import { DnsServer } from "./dns/server.ts";
import { DockerRule } from "./docker.ts";
import { bridgePortLines, linkOf } from "./ends.ts";
import { Firewall, type Settings } from "./firewall.ts";
import type { Names } from "./names.ts";
import { elementsOf, noElements } from "./rules.ts";
import { formatSubnet, gatewayOf, type Subnet, subnetOf } from "./subnet.ts";
import { ipBatchForce } from "./tools.ts";
import { Watcher } from "./watcher.ts";

export interface Ready {
  subnet: Subnet;
  gateway: string;
  mtu: number;
  pool: AddressPool;
}

const subnetKey = "network.subnet";

/** What all attachments with mode nat stand on: the bridge, its addresses, the rules, the name server. Made once, when first needed. */
export class Ground {
  readonly directory = new Directory();
  readonly firewall: Firewall;
  readonly #names: Names;
  readonly #settings: Settings;
  readonly #wantedSubnet: string | undefined;
  readonly #docker: DockerRule;
  readonly #watcher: Watcher;
  readonly #living: () => Attachment[];
  #dns: DnsServer | undefined;
  #making: Promise<Ready> | undefined;
  #ready: Ready | undefined;

  /** `living`: the attachments with an address, for the watcher. */
  constructor(
    names: Names,
    settings: Settings,
    wantedSubnet: string | undefined,
    living: () => Attachment[],
  ) {
    this.#names = names;
    this.#settings = settings;
    this.#wantedSubnet = wantedSubnet;
    this.#living = living;
    this.firewall = new Firewall(settings);
    this.#docker = new DockerRule(names, settings);
    this.#watcher = new Watcher(() => this.#watch());
  }

  get ready(): Ready | undefined {
    return this.#ready;
  }

  /** Everything in place; made now if it is not. */
  ensure(): Promise<Ready> {
    return this.#making ?? this.#begin();
  }

  /** Makes all of it fit `live` exactly, touching only what differs. */
  rebuild(live: readonly Attachment[]): Promise<Ready> {
    return this.#begin(live);
  }

  #begin(live?: readonly Attachment[]): Promise<Ready> {
    const making = this.#make(live).catch((error) => {
      if (this.#making === making) this.#making = undefined; // the next attach tries again
      throw error;
    });
    this.#making = making;
    return making;
  }

  /** Without `live` the tables keep the elements that they hold. */
  async #make(live?: readonly Attachment[]): Promise<Ready> {
    const first = live?.[0];
    const stored = first ? subnetOf(first) : this.#settings.get(subnetKey);
    // Living instances keep the network that they are in.
    const wanted = first ? undefined : this.#wantedSubnet;
    let subnet = await chooseSubnet(this.#names, stored, wanted);
    const links = await listLinks();
    const mtu = await uplinkMtu(links, this.#names.bridge);
    for (let tries = 0; ; tries++) {
      const missing = await ensureBridge(this.#names, subnet, mtu);
      if (!missing || tries === 5 || wanted || stored || !(await mustGiveWay(this.#names, subnet))) break;
      await deleteLinks(this.#names, [this.#names.bridge]);
      subnet = await chooseSubnet(this.#names, undefined, undefined);
    }
    if (this.#settings.get(subnetKey) !== formatSubnet(subnet))
      this.#settings.set(subnetKey, formatSubnet(subnet));
    const pool = new AddressPool(subnet);
    const elements = noElements();
    for (const attachment of live ?? []) {
      pool.take(attachment.address!);
      for (const [set, key, value] of elementsOf(attachment)) elements[set].set(key, value);
    }
    const dnsPort = await this.#serveNames(subnet);
    await this.firewall.install({ names: this.#names, subnet, dnsPort }, live && elements);
    if (live) await this.#putBack(live, links);
    await this.#docker.ensure();
    this.#watcher.start();
    this.#ready = { subnet, gateway: gatewayOf(subnet), mtu, pool };
    return this.#ready;
  }

  /** Starts the name server unless it runs; the network works without it, and `facts` tells. */
  async #serveNames(subnet: Subnet): Promise<number> {
    if (!this.#dns?.running || this.#dns.address !== gatewayOf(subnet)) {
      this.#dns?.stop();
      this.#dns = new DnsServer(this.directory, subnet);
      await this.#dns.start().catch(() => {});
    }
    return this.#dns.port || 53;
  }

  /** What someone else may have taken away while instances run: our rules, the bridge, the rule in Docker's chain. */
  async #watch(): Promise<void> {
    const live = this.#living();
    if (live.length === 0 || !this.#ready) return;
    if (!(await this.firewall.intact())) await this.firewall.restore();
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

  /** Ends watching and name service; the rest stays for the instances. */
  async stop(): Promise<void> {
    await this.#making?.catch(() => {});
    await this.#watcher.stop();
    this.#dns?.stop();
    this.#making = undefined;
  }

  /** After `stop`, and when the links are gone: rules and Docker's too. */
  async teardown(): Promise<void> {
    await this.firewall.destroy(this.#names.table);
    await this.#docker.remove();
    this.directory.clear();
    this.#ready = undefined;
  }

  facts(): Record<string, string> {
    const dns = this.#dns;
    return {
      bridge: this.#names.bridge,
      subnet: this.#ready
        ? formatSubnet(this.#ready.subnet)
        : (this.#settings.get(subnetKey) ?? "not chosen yet"),
      dns: dns?.running ? `${dns.address}:${dns.port}` : "not running",
      dockerUserRule: this.#docker.state,
      ...(this.#watcher.failure && { problem: this.#watcher.failure }),
    };
  }
}
