import { GantryError } from "../model/errors.ts";
import type { Attachment } from "../ports/network.ts";
import { run } from "./tools.ts";

/**
 * Makes the kernel forget UDP flows to the attachment's published ports. Unlike TCP they have no end: a client that
 * goes on sending from one port would stay with what the port meant before, for as long as it sends.
 * Called when ports are published and when they are given back; costs nothing without UDP ports.
 */
export async function forgetUdpFlows(attachment: Attachment): Promise<void> {
  const ports = attachment.ports.filter((port) => port.protocol === "udp");
  for (const { hostIp, hostPort } of ports) {
    const address = hostIp === "0.0.0.0" ? [] : ["--orig-dst", hostIp];
    try {
      // Status 1: there was none.
      await run(
        ["conntrack", "-D", "-f", "ipv4", "-p", "udp", "--orig-port-dst", String(hostPort), ...address],
        { ok: [0, 1] },
      );
    } catch (error) {
      if (GantryError.from(error).code === "unavailable") return; // not installed: clients wait for the flow's time-out
      throw error;
    }
  }
}
