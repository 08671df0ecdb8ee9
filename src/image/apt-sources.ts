import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** Where a machine gets Debian's packages from. */
export interface Mirrors {
  main: string;
  security: string;
  /** Keyring files that the machine's own sources name for Debian. */
  signedBy?: string;
}

export const defaultMirrors: Mirrors = {
  main: "http://deb.debian.org/debian",
  security: "http://deb.debian.org/debian-security",
};

interface Source {
  uri: string;
  suite: string;
  components: string[];
  signedBy?: string;
}

/** Sources in the deb822 form: stanzas of `Key: value`, continued by indented lines. */
function parseStanzas(text: string): Source[] {
  return text.split(/\n[ \t]*(?:\n|$)/).flatMap((stanza) => {
    const fields = new Map<string, string>();
    let last = "";
    for (const line of stanza.split("\n")) {
      if (line.startsWith("#")) continue;
      const [, key, value] = /^([A-Za-z-]+):[ \t]*(.*)$/.exec(line) ?? [];
      if (key !== undefined) {
        last = key.toLowerCase();
        fields.set(last, value ?? "");
      } else if (/^[ \t]/.test(line)) fields.set(last, `${fields.get(last) ?? ""} ${line.trim()}`);
    }
    const all = (key: string) => (fields.get(key) ?? "").split(/\s+/).filter((word) => word !== "");
    if (!all("types").includes("deb") || /^(no|false|0)$/i.test(fields.get("enabled") ?? "")) return [];
    const signedBy = fields.get("signed-by")?.trim();
    return all("uris").flatMap((uri) =>
      all("suites").map((suite) => ({
        uri,
        suite,
        components: all("components"),
        ...(signedBy?.startsWith("/") ? { signedBy } : {}),
      })),
    );
  });
}

/** Sources in the one-line form: `deb [options] URI SUITE COMPONENT…`. */
function parseLines(text: string): Source[] {
  return text.split("\n").flatMap((line) => {
    const [, options = "", uri, suite, rest = ""] =
      /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line) ?? [];
    if (uri === undefined || suite === undefined) return [];
    const [, signedBy] = /(?:^|\s)signed-by=(\/\S+)/.exec(options) ?? [];
    const components = rest.split(/\s+/).filter((word) => word !== "");
    return [{ uri, suite, components, ...(signedBy === undefined ? {} : { signedBy }) }];
  });
}

const plain = (uri: string): string => uri.replace(/\/+$/, "");

/**
 * The mirrors that the host's apt uses for its own Debian release, so that a bootstrap works wherever apt does.
 * Third parties' sources are left out: only the component `main` of the suites `codename`, `-security` and so on counts.
 */
export async function hostMirrors(codename: string, etcApt = "/etc/apt"): Promise<Mirrors | undefined> {
  const names = (await readdir(join(etcApt, "sources.list.d")).catch(() => [] as string[])).sort();
  const paths = ["sources.list", ...names.map((name) => join("sources.list.d", name))];
  const found: Source[] = [];
  for (const path of paths) {
    if (!/\.(list|sources)$/.test(path)) continue;
    const text = await readFile(join(etcApt, path), "utf8").catch(() => "");
    found.push(...(path.endsWith(".list") ? parseLines(text) : parseStanzas(text)));
  }
  const usable = (suite: string) =>
    found.find(
      (source) =>
        source.suite === suite && source.components.includes("main") && /^(https?|file):/.test(source.uri),
    );
  const main = usable(codename);
  if (main === undefined) return undefined;
  const security = usable(`${codename}-security`) ?? usable(`${codename}/updates`);
  return {
    main: plain(main.uri),
    security: plain(security?.uri ?? defaultMirrors.security),
    ...(main.signedBy === undefined ? {} : { signedBy: main.signedBy }),
  };
}

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** A deb822 file for `suite`, with updates and security where a release has them. */
export function sourcesFor(suite: string, mirrors: Mirrors): string {
  const rolling = ["sid", "unstable", "testing", "experimental"].includes(suite);
  const stanza = (uri: string, suites: string) =>
    [
      "Types: deb",
      `URIs: ${uri}`,
      `Suites: ${suites}`,
      "Components: main",
      `Signed-By: ${mirrors.signedBy ?? keyring}`,
      "",
    ].join("\n");
  if (rolling) return stanza(mirrors.main, suite);
  return [
    stanza(mirrors.main, `${suite} ${suite}-updates`),
    stanza(mirrors.security, `${suite}-security`),
  ].join("\n");
}
