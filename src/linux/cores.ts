/**
 * How many cores this process may use: as many as its affinity allows, and no more than the CPU quota of its
 * control group allows (cgroups(7)), for instance in a container with a CPU limit.
 */
import { ProcessLibc } from "./process_libc.ts";

/** Reads a text file; throws if there is none. Tests replace it. */
export type ReadText = (path: string) => string;

/** At least 1. `processors` is what the affinity allows. */
export function usableCores(
  processors = affinity(),
  read: ReadText = (path) => Deno.readTextFileSync(path),
): number {
  return Math.max(1, Math.floor(Math.min(processors, quota(read))));
}

function affinity(): number {
  try {
    using libc = new ProcessLibc();
    return libc.processors() ?? navigator.hardwareConcurrency;
  } catch {
    return navigator.hardwareConcurrency; // the kernel cannot be called here
  }
}

/** Cores' worth of time that the control group may use, the strictest of its ancestors'; Infinity without a limit. */
function quota(read: ReadText): number {
  try {
    const groups = read("/proc/self/cgroup").trim().split("\n").map((line) => line.split(":"));
    return Math.min(...groups.map(([, controllers = "", ...path]) => {
      const group = path.join(":");
      if (controllers === "") return strictest(group, (folder) => quotaV2(read, folder));
      if (!controllers.split(",").includes("cpu")) return Infinity;
      return strictest(group, (folder) => quotaV1(read, folder));
    }));
  } catch {
    return Infinity; // no control groups, or files that must not be read
  }
}

/** The strictest of a group and its ancestors. In a container the folders of the outer ones do not exist. */
function strictest(group: string, of: (folder: string) => number): number {
  const parts = group.split("/").filter((part) => part !== "" && part !== "..");
  const groups = Array.from({ length: parts.length + 1 }, (_, depth) => parts.slice(0, depth));
  return Math.min(...groups.map((parts) => of(parts.map((part) => `/${part}`).join(""))));
}

/** `cpu.max`: "max 100000" or "150000 100000", microseconds in each period. */
function quotaV2(read: ReadText, folder: string): number {
  const [max, period] = numbers(read, `/sys/fs/cgroup${folder}/cpu.max`);
  return max! / period! || Infinity;
}

/** A quota of -1 is no limit. */
function quotaV1(read: ReadText, folder: string): number {
  const [max] = numbers(read, `/sys/fs/cgroup/cpu${folder}/cpu.cfs_quota_us`);
  const [period] = numbers(read, `/sys/fs/cgroup/cpu${folder}/cpu.cfs_period_us`);
  return max! > 0 ? max! / period! || Infinity : Infinity;
}

function numbers(read: ReadText, path: string): number[] {
  try {
    return read(path).trim().split(" ").map((word) => word === "max" ? Infinity : Number(word));
  } catch {
    return [Infinity, 1];
  }
}
