import type { Attachment } from "../../ports/network.ts";
import type { ProvidedFile } from "../../ports/supervisor.ts";

/** /etc/hosts, /etc/hostname and /etc/resolv.conf, but for those a user's mount covers. */
export function providedFiles(
  hostname: string,
  attachment: Attachment | undefined,
  covered: ReadonlySet<string>,
): ProvidedFile[] {
  const files: ProvidedFile[] = [
    { target: "/etc/hostname", content: `${hostname}\n`, mode: 0o644 },
    { target: "/etc/hosts", content: hosts(hostname, attachment?.address), mode: 0o644 },
    { target: "/etc/resolv.conf", content: resolvConf(attachment), mode: 0o644 },
  ];
  return files.filter((file) => !covered.has(file.target));
}

function hosts(hostname: string, address: string | undefined): string {
  const lines = [
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::\tip6-localnet",
    "ff00::\tip6-mcastprefix",
    "ff02::1\tip6-allnodes",
    "ff02::2\tip6-allrouters",
  ];
  const short = hostname.split(".")[0];
  const names = short && short !== hostname ? `${hostname} ${short}` : hostname;
  if (address) lines.push(`${address}\t${names}`);
  return `${lines.join("\n")}\n`;
}

/** With nat the gateway answers names; without a network there is nobody to ask. */
const resolvConf = (attachment: Attachment | undefined): string =>
  attachment?.mode === "nat" && attachment.gateway
    ? `nameserver ${attachment.gateway}\noptions ndots:0\n`
    : "# no network, no name server\n";
