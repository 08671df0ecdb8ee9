import type { InstanceView } from "../../ports/engine.ts";

const never = "0001-01-01T00:00:00Z";
const moment = (milliseconds: number | undefined): string =>
  milliseconds === undefined ? never : new Date(milliseconds).toISOString();

/** Docker's words for our states. */
const statusWords: Readonly<Record<string, string>> = {
  starting: "created",
  stopping: "running",
  broken: "dead",
};

function ports(view: InstanceView): Record<string, { HostIp: string; HostPort: string }[] | null> {
  const result: Record<string, { HostIp: string; HostPort: string }[] | null> = {};
  for (const port of view.effective.exposedPorts) result[port] = null;
  for (const p of view.publishedPorts) {
    const key = `${p.containerPort}/${p.protocol}`;
    result[key] = [...(result[key] ?? []), { HostIp: p.hostIp, HostPort: String(p.hostPort) }];
  }
  return result;
}

function mounts(view: InstanceView): object[] {
  const result: object[] = [];
  for (const mount of view.config.mounts) {
    if (mount.type === "bind")
      result.push({
        Type: "bind",
        Source: mount.source,
        Destination: mount.target,
        RW: !mount.readOnly,
        Mode: "",
      });
    else if (mount.type === "tmpfs")
      result.push({
        Type: "tmpfs",
        Source: "",
        Destination: mount.target,
        RW: !mount.options.includes("ro"),
        Mode: "",
      });
  }
  for (const volume of view.volumes) {
    const asked = view.config.mounts.find((m) => m.type === "volume" && m.target === volume.target);
    result.push({
      Type: "volume",
      Name: volume.name,
      Driver: "local",
      Destination: volume.target,
      RW: !(asked?.type === "volume" && asked.readOnly),
      Mode: "",
    });
  }
  return result;
}

/** An instance with Docker's names where Docker has them, and ours beside them. */
export function instanceDetails(view: InstanceView) {
  const { config, effective } = view;
  const [path, ...args] = effective.args;
  const running = view.state === "running" || view.state === "paused" || view.state === "stopping";
  const network = {
    IPAddress: view.address ?? "",
    Gateway: view.gateway ?? "",
    MacAddress: view.mac ?? "",
  };
  return {
    Id: view.id,
    Name: `/${view.name}`,
    Project: view.project,
    Created: moment(view.createdAt),
    Path: path ?? "",
    Args: args,
    State: {
      Status: statusWords[view.state] ?? view.state,
      Running: running,
      Paused: view.state === "paused",
      Restarting: view.state === "restarting",
      OOMKilled: view.oomKilled,
      Dead: view.state === "broken",
      Pid: running ? (view.pid ?? 0) : 0,
      ExitCode: view.exitCode ?? 0,
      Error: view.error ?? "",
      StartedAt: moment(view.startedAt),
      FinishedAt: moment(view.finishedAt),
    },
    Image: view.imageDigest,
    Isolation: config.isolation,
    Accelerator: view.accelerator ?? "",
    SupervisorPid: view.supervisorPid ?? 0,
    RestartCount: view.restartCount,
    LogPath: view.logPath,
    StartPhases: view.startPhases ?? {},
    Config: {
      Hostname: config.hostname ?? view.id.slice(0, 12),
      User: effective.user,
      Tty: config.tty,
      OpenStdin: config.openStdin,
      StdinOnce: config.stdinOnce,
      Env: effective.env,
      Cmd: config.command ?? null,
      Entrypoint: config.entrypoint ?? null,
      Image: config.image,
      WorkingDir: effective.workdir,
      Labels: effective.labels,
      StopSignal: effective.stopSignal,
      StopTimeout: config.stopTimeout ?? null,
      ExposedPorts: Object.fromEntries(effective.exposedPorts.map((port) => [port, {}])),
    },
    HostConfig: {
      NetworkMode: config.network,
      PortBindings: Object.fromEntries(
        Object.entries(ports({ ...view, publishedPorts: config.ports })).filter(([, p]) => p),
      ),
      RestartPolicy: { Name: config.restart.name, MaximumRetryCount: config.restart.maxRetries },
      AutoRemove: config.autoRemove,
      NanoCpus: Math.round((config.limits.cpus ?? 0) * 1e9),
      Memory: config.limits.memory ?? 0,
      PidsLimit: config.limits.pids ?? 0,
      StorageOpt: config.limits.storage === undefined ? {} : { size: String(config.limits.storage) },
      CapAdd: config.capAdd,
      CapDrop: config.capDrop,
      SecurityOpt: config.noNewPrivileges ? ["no-new-privileges"] : [],
      ReadonlyRootfs: config.readOnlyRootfs,
      Binds: config.mounts.flatMap((m) =>
        m.type === "bind" ? [`${m.source}:${m.target}${m.readOnly ? ":ro" : ""}`] : [],
      ),
      Tmpfs: Object.fromEntries(
        config.mounts.flatMap((m) => (m.type === "tmpfs" ? [[m.target, m.options.join(",")]] : [])),
      ),
      Isolation: config.isolation,
      Runtime: config.isolation,
      Privileged: false,
    },
    Mounts: mounts(view),
    NetworkSettings: {
      ...network,
      Ports: running ? ports(view) : {},
      Networks: config.network === "none" ? {} : { [config.network]: network },
    },
  };
}
