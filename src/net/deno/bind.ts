/**
 * Listens on an address with Deno's sockets, and finds out at the start whether an address is free. Failures
 * are values: the reason, for a person.
 */
import { type Address, ANY_HOST } from "../../base/address.ts";
import { realClock } from "../../base/clock.ts";
import { errorCode } from "../../base/errno.ts";
import { Fault } from "../../base/fault.ts";
import { EADDRNOTAVAIL, EAFNOSUPPORT, errnoWords } from "../../linux/errno.ts";
import { Libc } from "../../linux/libc.ts";
import { kernelUnsupportedReason } from "../../linux/unsupported_reason.ts";
import { ipSockaddr, unixSockaddr } from "../../linux/sockaddr.ts";
import type { ReceivedPort } from "../handover.ts";
import { BACKLOG } from "../accept.ts";
import { dial } from "./dial.ts";
import { systemLookUp } from "../look_up.ts";

/** How long the process that listens on an address has to answer, in milliseconds. */
const ANSWER_MS = 1_000;

/** Makes the system call; tests replace it. */
export type Listen = (address: Address) => Deno.Listener;

/**
 * Finds out whether this address can be listened on, by binding a socket that does not listen: clients that
 * connect meanwhile are refused as before. Resolves with undefined, or with the reason why not, for a person.
 */
export async function tryBind(address: Address): Promise<string | undefined> {
  if (address.kind === "unix") return await tryPath(address.path);
  if (kernelUnsupportedReason() !== undefined) return await tryWithoutKernel(address);
  using libc = new Libc();
  const literal = ipSockaddr(address.host, address.port) === undefined
    ? (await systemLookUp(address.host))[0]
    : address.host;
  if (literal === undefined) return "name does not resolve";
  const { port } = address;
  const result = bindAndClose(libc, literal, port);
  const lacksIpv6 = result === -EAFNOSUPPORT || result === -EADDRNOTAVAIL;
  const last = lacksIpv6 && literal === ANY_HOST ? bindAndClose(libc, "0.0.0.0", port) : result;
  return last < 0 ? errnoWords(last) : undefined;
}

function bindAndClose(libc: Libc, ip: string, port: number): number {
  const fd = libc.bind(ipSockaddr(ip, port)!, { userTimeoutMs: 0 });
  if (fd >= 0) libc.close(fd);
  return fd;
}

/** Where the kernel cannot be called, a port is in use if it answers; other problems show when it is opened. */
async function tryWithoutKernel(
  address: Address & { readonly kind: "tcp" },
): Promise<string | undefined> {
  const elsewhere = await bind({ ...address, port: 0 });
  if (typeof elsewhere === "string") return elsewhere;
  elsewhere.close();
  if (address.port === 0) return undefined;
  const host = { "::": "::1", "0.0.0.0": "127.0.0.1" }[address.host] ?? address.host;
  return await asked({ ...address, host }) === undefined ? "address in use" : undefined;
}

/** Undefined if a process accepts connections at `address`; otherwise the fault of the attempt. */
async function asked(address: Address): Promise<Fault | undefined> {
  const { signal } = new AbortController();
  const outcome = await dial(address, { clock: realClock, timeoutMs: ANSWER_MS, signal });
  if (outcome instanceof Fault) return outcome;
  outcome?.close();
}

/** Binds a free path for a moment, with a socket that does not listen. */
async function tryPath(path: string): Promise<string | undefined> {
  try {
    if (!(await Deno.lstat(path)).isSocket) return "a file that is no socket is in the way";
    return await isOwned(path) ? "address in use" : undefined;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) return bindReason(error);
  }
  if (kernelUnsupportedReason() !== undefined) return undefined;
  using libc = new Libc();
  const fd = libc.bind(unixSockaddr(path), { userTimeoutMs: 0 });
  if (fd < 0) return errnoWords(fd);
  libc.close(fd);
  libc.unlinkSocket(path);
}

/** How to listen. */
export interface BindOptions {
  /** Permission bits for the file of a unix socket; without them umask(2) decides. */
  readonly socketMode?: number | undefined;
  readonly listen?: Listen;
  /** The socket that another process has left for this address, which is used in the place of a new one. */
  readonly received?: ReceivedPort | undefined;
  /** Gets a line, for a person, if that socket cannot be used. */
  readonly warn?: (line: string) => void;
}

/**
 * Listens on `address`. Resolves with the listener, or with the reason why it cannot, for a person. `::` falls
 * back to IPv4 where the system has no IPv6, and the socket file of a process that crashed is replaced.
 */
export async function bind(
  address: Address,
  { socketMode, listen = listenOn, received, warn }: BindOptions = {},
): Promise<Deno.Listener | string> {
  if (received !== undefined) {
    // Loaded only then, because node:net takes long to load.
    const { receivedListener } = await import("./received_listener.ts");
    const found = await receivedListener(address, received, warn);
    if (found !== undefined) return found;
  }
  const listener = await bindAnyway(address, listen);
  if (address.kind === "tcp" || socketMode === undefined) return listener;
  if (typeof listener === "string" || Deno.build.os === "windows") return listener;
  try {
    await Deno.chmod(address.path, socketMode);
    return listener;
  } catch (error) {
    listener.close();
    return bindReason(error);
  }
}

async function bindAnyway(address: Address, listen: Listen): Promise<Deno.Listener | string> {
  try {
    return listen(address);
  } catch (error) {
    if (address.kind === "unix" && error instanceof Deno.errors.AddrInUse) {
      return await bindOverStale(address.path, listen);
    }
    if (address.kind === "tcp" && address.host === ANY_HOST && isWithoutIpv6(error)) {
      return await bindAnyway({ ...address, host: "0.0.0.0" }, listen);
    }
    return bindReason(error);
  }
}

/** A process that crashed leaves its socket file behind. The file is replaced if nothing listens on it. */
async function bindOverStale(path: string, listen: Listen): Promise<Deno.Listener | string> {
  try {
    if (await isOwned(path)) return "address in use";
    // A connect to a file of another kind is refused too (connect(2)); such a file must not be removed.
    if ((await Deno.lstat(path)).isSocket !== true) return "a file that is no socket is in the way";
    await Deno.remove(path);
    return listen({ kind: "unix", path });
  } catch (error) {
    return bindReason(error);
  }
}

/** True if a process listens on this socket file, even if the accept queue is full. */
async function isOwned(path: string): Promise<boolean> {
  const fault = await asked({ kind: "unix", path });
  if (fault === undefined || fault.fault === "connectTimeout") return true;
  if (fault.fault === "connectRefused") return false;
  throw fault.cause;
}

/** Makes the real system call. */
export function listenOn(address: Address): Deno.Listener {
  if (address.kind === "unix") return Deno.listen({ transport: "unix", path: address.path });
  return Deno.listen({ hostname: address.host, port: address.port, tcpBacklog: BACKLOG });
}

function isWithoutIpv6(error: unknown): boolean {
  const code = errorCode(error);
  return code === "EAFNOSUPPORT" || code === "EADDRNOTAVAIL";
}

function bindReason(error: unknown): string {
  if (error instanceof Deno.errors.AddrInUse) return "address in use";
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  if (error instanceof Deno.errors.AddrNotAvailable) return "not an address of this machine";
  return error instanceof Error ? error.message : String(error);
}
