/**
 * What the system's error codes mean for a proxy: the only table of them. Both kinds of sockets and everything
 * that opens files or starts programs ask here; `linux/errno.ts` adds the numbers and the words.
 *
 * Sources: accept(2), connect(2), socket(2), open(2), fork(2), execve(2).
 */
import type { FaultName } from "./fault.ts";

/** The code of what Deno threw, such as `ECONNRESET`; undefined if it has none. */
export function errorCode(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as { readonly code?: unknown }).code : undefined;
  return typeof code === "string" ? code : undefined;
}

/** No descriptor or no memory is left: nobody outside is to blame, and there may be some in a moment. */
const RESOURCES = ["EMFILE", "ENFILE", "ENOMEM"] as const;

/** For each kind of call, the codes that mean that something is short on this machine. */
const SHORTAGES = {
  file: new Set<string>(RESOURCES),
  socket: new Set<string>([...RESOURCES, "ENOBUFS"]),
  // EAGAIN: the limit of processes. ETXTBSY: the file is being written, as in the midst of a deploy.
  program: new Set<string>([...RESOURCES, "EAGAIN", "ETXTBSY"]),
} as const;

/** True if `code`, of a call that has to do with `what`, says that something is short on this machine. */
export function isShortageCode(what: keyof typeof SHORTAGES, code: string | undefined): boolean {
  return code !== undefined && SHORTAGES[what].has(code);
}

const CONNECT_FAULTS: ReadonlyMap<string, FaultName> = new Map<string, FaultName>([
  // A unix socket whose file is not there is as clear a no as a refused port.
  ["ENOENT", "connectRefused"],
  ["ECONNREFUSED", "connectRefused"],
  ["ECONNRESET", "connectReset"],
  ["EPIPE", "connectReset"],
  ["ETIMEDOUT", "connectTimeout"],
  ["EHOSTUNREACH", "connectUnreachable"],
  ["ENETUNREACH", "connectUnreachable"],
  // No local port is left.
  ["EADDRNOTAVAIL", "localShortage"],
]);

/** What it means that a connect failed with `code`; undefined for a code without a meaning of its own. */
export function connectFaultOfCode(code: string | undefined): FaultName | undefined {
  if (code === undefined) return undefined;
  return CONNECT_FAULTS.get(code) ?? (isShortageCode("socket", code) ? "localShortage" : undefined);
}

/**
 * Errors of the one connection that accept(2) was about to hand over, and of a call that a signal broke off:
 * the next connection may be accepted at once. Deno says ENOTCONN for ECONNABORTED.
 */
const ACCEPT_ONCE: ReadonlySet<string> = new Set([
  "ECONNABORTED",
  "ECONNRESET",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "EINTR",
  "ENETDOWN",
  "ENETUNREACH",
  "ENONET",
  "ENOPROTOOPT",
  "ENOTCONN",
  "EOPNOTSUPP",
  "EPERM",
  "EPIPE",
  "EPROTO",
  "ETIMEDOUT",
]);

/** True if a failed accept says something about one connection only. */
export function concernsOneConnection(code: string | undefined): boolean {
  return code !== undefined && ACCEPT_ONCE.has(code);
}
