import { assert, assertEquals } from "@std/assert";
import { usableCores } from "./cores.ts";

function files(all: Readonly<Record<string, string>>) {
  return (path: string) => {
    const text = all[path];
    if (text === undefined) throw new Deno.errors.NotFound(path);
    return text;
  };
}

Deno.test("without control groups the affinity decides", () => {
  assertEquals(usableCores(6, files({})), 6);
});

Deno.test("the strictest quota of a control group and its ancestors counts (version 2)", () => {
  const read = files({
    "/proc/self/cgroup": "0::/system.slice/failover.service\n",
    "/sys/fs/cgroup/cpu.max": "max 100000\n",
    "/sys/fs/cgroup/system.slice/cpu.max": "350000 100000\n",
    "/sys/fs/cgroup/system.slice/failover.service/cpu.max": "max 100000\n",
  });
  assertEquals([usableCores(8, read), usableCores(2, read)], [3, 2]);
});

Deno.test("in a container the quota stands at the top", () => {
  const read = files({
    "/proc/self/cgroup": "0::/../../docker/abc\n",
    "/sys/fs/cgroup/cpu.max": "50000 100000\n",
  });
  assertEquals(usableCores(8, read), 1);
});

Deno.test("the quota of version 1 counts, and -1 is no limit", () => {
  const group = "5:memory:/x\n4:cpu,cpuacct:/y\n";
  const limited = files({
    "/proc/self/cgroup": group,
    "/sys/fs/cgroup/cpu/y/cpu.cfs_quota_us": "200000\n",
    "/sys/fs/cgroup/cpu/y/cpu.cfs_period_us": "100000\n",
  });
  assertEquals(usableCores(8, limited), 2);
  const free = files({
    "/proc/self/cgroup": group,
    "/sys/fs/cgroup/cpu/y/cpu.cfs_quota_us": "-1\n",
    "/sys/fs/cgroup/cpu/y/cpu.cfs_period_us": "100000\n",
  });
  assertEquals(usableCores(8, free), 8);
});

Deno.test("this machine has at least one core and no more than it reports", () => {
  const cores = usableCores();
  assert(cores >= 1 && cores <= navigator.hardwareConcurrency, String(cores));
});
