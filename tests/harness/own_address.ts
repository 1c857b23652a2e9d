/** An IPv4 address of this machine that is not on the loopback; traffic to it does not leave the machine either. */
export function ownAddress(): string | undefined {
  return Deno.networkInterfaces().find(({ family, address }) =>
    family === "IPv4" && !address.startsWith("127.")
  )?.address;
}
