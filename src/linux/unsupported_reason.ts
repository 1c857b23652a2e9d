/** Whether this process can call the kernel here at all. */
import { Libc } from "./libc.ts";

/** Why it cannot, if so, for a person; asks the system, and leaves nothing open. */
export function kernelUnsupportedReason(): string | undefined {
  const { os, arch } = Deno.build;
  if (os !== "linux") return `it needs Linux, and this is ${os}`;
  if (arch !== "x86_64" && arch !== "aarch64") return `it does not know the ${arch} processor`;
  // Looked at first: on a terminal, Deno would ask the operator for what is missing, and wait.
  if (!isGranted({ name: "ffi" })) return "calling libc is not permitted (--allow-ffi)";
  try {
    using libc = new Libc();
    libc.selfTest();
    return undefined;
  } catch (error) {
    // Whatever is wrong (another libc, a kernel that differs), the answer is no.
    return error instanceof Error ? error.message : String(error);
  }
}

export function isGranted(permission: Deno.PermissionDescriptor): boolean {
  return Deno.permissions.querySync(permission).state === "granted";
}
