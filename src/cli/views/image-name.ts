/** Repository and tag of a canonical image name; `<none>` for what it lacks. */
export function splitName(name: string | undefined): { repository: string; tag: string } {
  if (name === undefined) return { repository: "<none>", tag: "<none>" };
  const colon = name.lastIndexOf(":");
  // A colon before the last slash belongs to the registry's port.
  if (colon < 0 || colon < name.lastIndexOf("/")) return { repository: name, tag: "<none>" };
  return { repository: name.slice(0, colon), tag: name.slice(colon + 1) };
}
