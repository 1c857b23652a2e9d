/**
 * Listening on an address, with every reason why it may fail as a value for a person. Everything in the
 * process that listens comes through here.
 */
import { type Address, ANY_HOST } from "../base/address.ts";

/** Clients that the kernel keeps for us; it takes no more than net.core.somaxconn. */
const BACKLOG = 4_096;

/** What asks the system; tests put another in its place. */
export type Listen = (address: Address) => Deno.Listener;

/**
 * Finds out whether this address can be listened on, without staying there. Resolves with nothing, or
 * with the reason why not, for a person.
 */
export async function tryBind(address: Address): Promise<string | undefined> {
  const listener = await bind(address);
  if (typeof listener === "string") return listener;
  listener.close();
  return undefined;
}

/**
 * Listens, or resolves with the reason why not. `::` falls back to IPv4 where the system has no IPv6, and
 * the socket file of a process that crashed is replaced.
 */
export async function bind(
  address: Address,
  listen: Listen = listenOn,
): Promise<Deno.Listener | string> {
  try {
    return listen(address);
  } catch (error) {
    if (address.kind === "unix" && error instanceof Deno.errors.AddrInUse) {
      return await bindOverStale(address.path, listen);
    }
    if (address.kind === "tcp" && address.host === ANY_HOST && isWithoutIpv6(error)) {
      return await bind({ ...address, host: "0.0.0.0" }, listen);
    }
    return bindReason(error);
  }
}

/** A process that crashed leaves its socket file behind. It is replaced if nobody answers on it. */
async function bindOverStale(path: string, listen: Listen): Promise<Deno.Listener | string> {
  try {
    if (await isAnswered(path)) return "address in use";
    // Connecting to a file of another kind is refused too (connect(2)); that one is not ours to remove.
    if ((await Deno.lstat(path)).isSocket !== true) return "a file that is no socket is in the way";
    await Deno.remove(path);
    return listen({ kind: "unix", path });
  } catch (error) {
    return bindReason(error);
  }
}

async function isAnswered(path: string): Promise<boolean> {
  try {
    const conn = await Deno.connect({ transport: "unix", path });
    conn.close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) return false;
    throw error;
  }
}

/** Asks the system itself. */
export function listenOn(address: Address): Deno.Listener {
  if (address.kind === "unix") return Deno.listen({ transport: "unix", path: address.path });
  return Deno.listen({ hostname: address.host, port: address.port, tcpBacklog: BACKLOG });
}

function isWithoutIpv6(error: unknown): boolean {
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined;
  return code === "EAFNOSUPPORT" || code === "EADDRNOTAVAIL";
}

function bindReason(error: unknown): string {
  if (error instanceof Deno.errors.AddrInUse) return "address in use";
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  if (error instanceof Deno.errors.AddrNotAvailable) return "not an address of this machine";
  return error instanceof Error ? error.message : String(error);
}
