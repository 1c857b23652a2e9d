/** Whether this process can call the kernel directly on this system. */
import { Libc } from "./libc.ts";
import { selfTest } from "./self_examination.ts";

/** The reason, for a person, why this process cannot call the kernel; undefined if it can. Leaves nothing open. */
export function kernelUnsupportedReason(): string | undefined {
  const { os, arch } = Deno.build;
  if (os !== "linux") return `it needs Linux, and this is ${os}`;
  if (arch !== "x86_64" && arch !== "aarch64") return `it does not know the ${arch} processor`;
  // Checked first: on a terminal, Deno would ask the operator for a missing permission, and wait.
  if (!isGranted({ name: "ffi" })) return "calling libc is not permitted (--allow-ffi)";
  try {
    using libc = new Libc();
    selfTest(libc);
    return undefined;
  } catch (error) {
    // Another libc, a kernel that differs, or too few descriptors at this moment.
    return error instanceof Error ? error.message : String(error);
  }
}

/** True if Deno has granted this permission. Never asks the user. */
export function isGranted(permission: Deno.PermissionDescriptor): boolean {
  return Deno.permissions.querySync(permission).state === "granted";
}
