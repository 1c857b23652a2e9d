/** How many descriptors this process has open (proc(5)). Linux only. */
export function descriptorCount(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}
