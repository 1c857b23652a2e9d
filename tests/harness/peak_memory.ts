/** The memory of a proxy while much data passes through it. */
import { assert } from "@std/assert";

/** Far less than what is transferred, far more than what a proxy needs. */
const GROWTH_MAX_BYTES = 64 * 1024 * 1024;

/** The peak memory of a process, in bytes (VmHWM, proc(5)). Known on Linux; 0 elsewhere. */
export async function peakMemory({ pid }: { readonly pid: number }): Promise<number> {
  if (Deno.build.os !== "linux") return 0;
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)![1]) * 1024;
}

/** Asserts that the peak of a process is not much above `before`, an earlier one. */
export async function assertSlim(process: { readonly pid: number }, before: number): Promise<void> {
  const growth = await peakMemory(process) - before;
  assert(growth < GROWTH_MAX_BYTES, `the process grew by ${Math.round(growth / 2 ** 20)} MB`);
}
