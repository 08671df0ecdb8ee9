import { readFileSync } from "node:fs";
import { mkdir, stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { exec } from "../../lib/exec.ts";
import { exitFile, logFile, type Paths } from "../../lib/paths.ts";
import { GantryError } from "../../model/errors.ts";
import type { RuntimeSpec } from "../../model/oci.ts";
import type { IsolationBackend, IsolationFacts, OpenRequest } from "../../ports/isolation.ts";
import type { Supervisor, Supervisors } from "../../ports/supervisor.ts";
import { probeAccelerator, summarise, type Verdict } from "./accelerator.ts";
import { closeVm } from "./close.ts";
import { type HostFacts, rootfs, type ShimConfig, shimConfig } from "./config.ts";
import { type Guest, loadGuest, tscKhz } from "./guest.ts";
import { createLayer, defaultLayer, layerFile, removeLayer } from "./layer.ts";
import { defaultMemory } from "./memory.ts";
import { refusals } from "./refusals.ts";
import { createSeccompCompiler } from "./seccomp.ts";
import { rewriteBinds } from "./shares.ts";

const qemu = "/usr/bin/qemu-system-x86_64";
const virtiofsd = "/usr/lib/qemu/virtiofsd";

/** The VM wall: QEMU behind a shim, the image as an EROFS disk, the writable layer as an ext4 one. */
export function createVmBackend({
  paths,
  supervisors,
}: {
  paths: Paths;
  supervisors: Supervisors;
}): IsolationBackend {
  const compile = createSeccompCompiler(supervisors);
  const cpus = availableParallelism();
  let probing: Promise<{ guest: Guest; verdict: Verdict; version: string }> | undefined;

  /** Once for the life of the engine; a failure is tried again at the next call. */
  const probe = () => {
    probing ??= (async () => {
      const guest = loadGuest(paths.libexec);
      const version = await qemuVersion();
      return { guest, version, verdict: await probeAccelerator(qemu, guest) };
    })();
    probing.catch(() => {
      probing = undefined;
    });
    return probing;
  };

  const host = async (): Promise<HostFacts> => {
    const { guest, verdict } = await probe();
    const khz = tscKhz(readFileSync("/proc/cpuinfo", "utf8"));
    return { guest, accelerator: verdict.accelerator, qemu, virtiofsd, khz, cpus };
  };

  const configure = async (request: OpenRequest): Promise<ShimConfig> => {
    const [facts, image] = await Promise.all([host(), request.image.disk()]);
    const layer = layerFile(paths, request.instance.id);
    const { size } = await stat(layer);
    return shimConfig(paths, request, facts, { image, layer, layerSize: size });
  };

  const launch = async (config: ShimConfig): Promise<Supervisor> => {
    await mkdir(config.folder, { recursive: true, mode: 0o700 });
    return await supervisors.open(
      "vm",
      config.folder,
      config,
      config.bootTimeout * config.bootTries + 15_000,
    );
  };

  return {
    isolation: "vm",
    refusals: (config) => refusals(config, cpus),

    async facts(): Promise<IsolationFacts> {
      try {
        const { guest, verdict, version } = await probe();
        const details: Record<string, string> = {
          qemu: version,
          accelerator: verdict.accelerator,
          guestKernel: guest.release,
        };
        const advice: string[] = [];
        if (verdict.accelerator === "tcg") {
          details.noKvm = verdict.reason;
          advice.push(
            `VMs run under software emulation, which is slower: ${verdict.reason}. Use a host (or a VM type) with working hardware virtualisation`,
          );
        }
        return {
          isolation: "vm",
          usable: true,
          summary: summarise(version, verdict),
          accelerator: verdict.accelerator,
          details,
          advice,
        };
      } catch (error) {
        const { message } = GantryError.from(error);
        return { isolation: "vm", usable: false, summary: message, details: {}, advice: [message] };
      }
    },

    createLayer: (instance) =>
      createLayer(paths, instance.id, instance.config.limits.storage ?? defaultLayer),

    removeLayer: (instanceId) => removeLayer(paths, instanceId),

    async open(request, undo) {
      const config = await configure(request);
      undo.defer("the VM", () => closeVm(paths, supervisors, request.sandbox));
      return await launch(config);
    },

    async workload(request) {
      const { instance, oci, user, files } = request;
      const { seccomp, ...linux } = oci.linux;
      const filter = seccomp && (await compile(seccomp));
      return {
        id: instance.id,
        generation: instance.generation,
        oci: rewriteBinds({ ...oci, linux: withMemory(linux) }, request.hostMounts),
        user,
        rootfs,
        files,
        openStdin: instance.config.openStdin,
        stdinOnce: instance.config.stdinOnce,
        log: { path: logFile(paths, instance.id), maxSize: 10 << 20, maxFiles: 5 },
        exitFile: exitFile(paths, instance.id),
        ...(filter && { seccompFilter: filter }),
      };
    },

    close: (sandbox) => closeVm(paths, supervisors, sandbox),

    async withFiles(request, use) {
      const { sandbox, instance } = request;
      await createLayer(paths, instance.id, instance.config.limits.storage ?? defaultLayer);
      const config = await configure({ ...request, attachment: undefined, hostMounts: [] });
      try {
        const supervisor = await launch({
          ...config,
          throwaway: false,
          mount: { op: "mount-rootfs", workload: instance.id, rootfs },
        });
        const { pid, startTime } = supervisor;
        try {
          return await use(supervisor);
        } finally {
          await supervisor.shutdown(10_000);
          await supervisors.kill({ pid, startTime });
        }
      } finally {
        await closeVm(paths, supervisors, sandbox);
      }
    },
  };
}

/** The guest's RAM is made for a limit, so there always is one. */
function withMemory(linux: RuntimeSpec["linux"]): RuntimeSpec["linux"] {
  const { memory } = linux.resources;
  return { ...linux, resources: { ...linux.resources, memory: { limit: defaultMemory, ...memory } } };
}

async function qemuVersion(): Promise<string> {
  const { stdout } = await exec([qemu, "--version"], { env: { LC_ALL: "C" } });
  const version = /version ([\d.]+)/.exec(stdout)?.[1];
  if (!version)
    throw new GantryError("unavailable", `${qemu} --version says ${JSON.stringify(stdout.slice(0, 80))}`);
  return version;
}
