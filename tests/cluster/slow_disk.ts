/** A slow disk: strace(1) holds each fsync of a process that runs. etcd answers no write before one has ended. */
import { Child } from "../harness/child.ts";
import type { EtcdMember } from "../harness/etcd.ts";
import { isInstalled } from "../harness/scenario.ts";
import type { End } from "./faults.ts";

const DELAY_US = 300_000;

/** True where strace(1) is installed and may trace: some containers forbid it. */
export function canSlowDisks(): boolean {
  if (Deno.build.os !== "linux" || !isInstalled("strace")) return false;
  const args = ["-f", "-o", "/dev/null", "-e", "inject=fsync:delay_enter=1", "true"];
  return new Deno.Command("strace", { args, stderr: "null" }).outputSync().success;
}

/** Slows the disk of these members; resolves with what ends that, or undefined if none of them runs. */
export async function slowDisk(members: readonly EtcdMember[]): Promise<End | undefined> {
  const tracers: Child[] = [];
  for (const { pid } of members) {
    if (pid === undefined || !isInstalled("strace")) continue;
    const attached = Promise.withResolvers<void>();
    const tracer = new Child("strace", {
      args: [
        ...["-f", "-p", String(pid), "-o", "/dev/null", "-e", "trace=fsync,fdatasync"],
        ...["-e", `inject=fsync,fdatasync:delay_enter=${DELAY_US}`],
      ],
      onErr: (line) => {
        if (/attached/.test(line)) attached.resolve();
      },
    });
    // It ends at once where tracing is forbidden, or when the process has ended meanwhile.
    const isAttached = await Promise.race([
      attached.promise.then(() => true),
      tracer.ended.then(() => false),
    ]);
    if (isAttached) tracers.push(tracer);
  }
  if (tracers.length === 0) return undefined;
  return async () => {
    // It detaches at this signal.
    for (const tracer of tracers) tracer.signal("SIGTERM");
    await Promise.all(tracers.map(({ ended }) => ended));
  };
}
