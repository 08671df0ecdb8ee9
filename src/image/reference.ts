import { GantryError } from "../model/errors.ts";

/** A reference taken apart, by the grammar of the OCI distribution specification and its reference package. */
export interface Reference {
  /** Host with port, "" when the name has none. */
  domain: string;
  /** Path below the domain. */
  path: string;
  tag?: string;
  /** `sha256:<64 hex>` */
  digest?: string;
}

const domainPattern =
  /^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$/;
const pathPattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const digestPattern = /^sha256:[a-f0-9]{64}$/;
const nameLimit = 255;

const refuse = (text: string, why: string) =>
  new GantryError(
    "invalid",
    `image reference ${JSON.stringify(text.slice(0, 300))} is malformed: ${why}; write [HOST/]NAME[:TAG][@sha256:DIGEST]`,
  );

/** True for `sha256:<64 lowercase hex>`, the only digest algorithm taken. */
export const isDigest = (text: string): boolean => digestPattern.test(text);

/** Takes a reference apart; throws `invalid` with the reason. Nothing is defaulted. */
export function parseReference(text: string): Reference {
  if (text === "") throw refuse(text, "it is empty");
  if (text.length > 512) throw refuse(text, "it is too long");
  let rest = text;
  let digest: string | undefined;
  const at = rest.indexOf("@");
  if (at >= 0) {
    digest = rest.slice(at + 1);
    rest = rest.slice(0, at);
    if (!isDigest(digest)) throw refuse(text, "the digest must be sha256: and 64 lowercase hex digits");
  }
  let tag: string | undefined;
  const colon = rest.lastIndexOf(":");
  if (colon > rest.lastIndexOf("/")) {
    tag = rest.slice(colon + 1);
    rest = rest.slice(0, colon);
    if (!tagPattern.test(tag))
      throw refuse(
        text,
        `the tag ${JSON.stringify(tag)} may hold letters, digits, "_", "." and "-", at most 128`,
      );
  }
  const slash = rest.indexOf("/");
  const first = slash < 0 ? "" : rest.slice(0, slash);
  const hasDomain = first === "localhost" || /[.:[A-Z]/.test(first);
  const domain = hasDomain ? first : "";
  const path = hasDomain ? rest.slice(slash + 1) : rest;
  if (rest.length > nameLimit) throw refuse(text, `the name is longer than ${nameLimit}`);
  if (hasDomain && !domainPattern.test(domain))
    throw refuse(text, `${JSON.stringify(domain)} is not a host name`);
  if (/[A-Z]/.test(path)) throw refuse(text, "the name must be lowercase");
  if (!pathPattern.test(path))
    throw refuse(text, 'the name may hold lowercase letters, digits, and ".", "_", "-" or "/" between them');
  if (/^[a-f0-9]{64}$/.test(path) && !hasDomain) throw refuse(text, "64 hex digits are no name");
  return { domain, path, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) };
}

const hub = "docker.io";

/** `HOST/NAME`; a bare name is taken as of `home`, where Docker's own host keeps its single-word names in `library/`. */
function repository(reference: Reference, home: string): string {
  const domain = reference.domain === "index.docker.io" ? hub : reference.domain || home;
  const path = domain === hub && !reference.path.includes("/") ? `library/${reference.path}` : reference.path;
  return `${domain}/${path}`;
}

/** The canonical name that a user's name gets: bare ones under `localhost/`, tag `latest`. Throws `invalid` for a digest. */
export function canonicalName(text: string): string {
  const reference = parseReference(text);
  if (reference.digest !== undefined) throw refuse(text, "a new name cannot hold a digest");
  return `${repository(reference, "localhost")}:${reference.tag ?? "latest"}`;
}

/** The canonical name of a RepoTag in an archive, where bare names are Docker's own. */
export function archiveName(text: string): string {
  const reference = parseReference(text);
  if (reference.digest !== undefined) throw refuse(text, "an archive's tag cannot hold a digest");
  return `${repository(reference, hub)}:${reference.tag ?? "latest"}`;
}

/** Repositories a reference may mean, in the order they are looked up. */
export function candidates(reference: Reference): string[] {
  const both = [repository(reference, "localhost"), repository(reference, hub)];
  return [...new Set(both)];
}

/** Cuts a canonical name at its tag. */
export const repositoryOf = (name: string): string => name.slice(0, name.lastIndexOf(":"));
