import { shortId } from "../../model/ids.ts";
import type { InstanceView } from "../../ports/engine.ts";
import { showAge, showMoment, showSpan } from "../human.ts";
import type { Row } from "../listing.ts";
import { showPort } from "../values/port.ts";

/** "Up 5 minutes", "Exited (0) 2 hours ago". */
export function showStatus(view: InstanceView, now = Date.now()): string {
  const up = () => `Up ${showSpan(now - (view.startedAt ?? now))}`;
  switch (view.state) {
    case "running":
    case "stopping":
      return up();
    case "paused":
      return `${up()} (Paused)`;
    case "exited":
      return `Exited (${view.exitCode ?? 0}) ${showAge(view.finishedAt ?? now, now)}`;
    case "restarting":
      return `Restarting (${view.exitCode ?? 0}) ${showAge(view.finishedAt ?? now, now)}`;
    case "created":
      return "Created";
    case "starting":
      return "Starting";
    case "removing":
      return "Removal In Progress";
    case "broken":
      return `Broken: ${view.error ?? "an undo failed"}`;
  }
}

/** "vm (emulated)" where no hardware runs the guest. */
export const showIsolation = ({ config, accelerator }: InstanceView): string =>
  config.isolation === "vm" && accelerator === "tcg" ? "vm (emulated)" : config.isolation;

function showPorts(view: InstanceView): string {
  const published = view.publishedPorts.map(showPort);
  const taken = new Set(view.publishedPorts.map((p) => `${p.containerPort}/${p.protocol}`));
  const running = view.state === "running" || view.state === "paused";
  return [...published, ...(running ? view.effective.exposedPorts.filter((p) => !taken.has(p)) : [])].join(
    ", ",
  );
}

const cut = (text: string, length: number): string =>
  text.length > length ? `${text.slice(0, length - 1)}…` : text;

/** An instance as a row of `ps`. */
export function instanceRow(view: InstanceView, whole: boolean): Row {
  const command = JSON.stringify(view.effective.args.join(" "));
  return {
    ID: whole ? view.id : shortId(view.id),
    Image: view.config.image,
    Command: whole || command.length <= 22 ? command : `${cut(command.slice(0, -1), 21)}"`,
    CreatedAt: showMoment(view.createdAt),
    RunningFor: showAge(view.createdAt),
    Ports: showPorts(view),
    State: view.state,
    Status: showStatus(view),
    Names: view.name,
    Labels: Object.entries(view.effective.labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(","),
    Mounts: [
      ...view.config.mounts.flatMap((m) => (m.type === "bind" ? [m.source] : [])),
      ...view.volumes.map((v) => (whole ? v.name : cut(v.name, 15))),
    ].join(","),
    LocalVolumes: String(view.volumes.length),
    Networks: view.config.network,
    Isolation: showIsolation(view),
    Project: view.project,
  };
}
