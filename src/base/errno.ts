/**
 * What the system's error codes mean for a proxy: the only table of them. It serves both kinds of sockets, and
 * the code that opens files and starts programs; `linux/errno.ts` adds the numbers and the words.
 *
 * Sources: accept(2), connect(2), socket(2), open(2), fork(2), execve(2).
 */
import type { FaultName } from "./fault.ts";

/** The code of what Deno threw, such as `ECONNRESET`; undefined if it has none. */
export function errorCode(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as { readonly code?: unknown }).code : undefined;
  return typeof code === "string" ? code : undefined;
}

/** No descriptor or no memory is left. No peer caused that, and it may be over in a moment. */
const RESOURCES = ["EMFILE", "ENFILE", "ENOMEM"] as const;

/** For each kind of call, the codes that mean that a resource of this machine is exhausted. */
const SHORTAGES = {
  file: new Set<string>(RESOURCES),
  socket: new Set<string>([...RESOURCES, "ENOBUFS"]),
  // EAGAIN: the limit of processes. ETXTBSY: the file is being written, as during a deploy.
  program: new Set<string>([...RESOURCES, "EAGAIN", "ETXTBSY"]),
} as const;

/** True if `code`, from a call on a `what`, means that a resource of this machine is exhausted. */
export function isShortageCode(what: keyof typeof SHORTAGES, code: string | undefined): boolean {
  return code !== undefined && SHORTAGES[what].has(code);
}

const CONNECT_FAULTS: ReadonlyMap<string, FaultName> = new Map<string, FaultName>([
  // The file of a unix socket is missing, which is as clear as a refused port.
  ["ENOENT", "connectRefused"],
  ["ECONNREFUSED", "connectRefused"],
  ["ECONNRESET", "connectReset"],
  ["EPIPE", "connectReset"],
  ["ETIMEDOUT", "connectTimeout"],
  ["EHOSTUNREACH", "connectUnreachable"],
  ["ENETUNREACH", "connectUnreachable"],
  // The accept queue of a unix socket is full; where that of a TCP port is, there is no answer either.
  ["EAGAIN", "connectTimeout"],
  ["EADDRNOTAVAIL", "localShortage"],
]);

/** The fault of a connect that failed with `code`; undefined for a code that has no row here. */
export function connectFaultOfCode(code: string | undefined): FaultName | undefined {
  if (code === undefined) return undefined;
  return CONNECT_FAULTS.get(code) ?? (isShortageCode("socket", code) ? "localShortage" : undefined);
}

/** For a person: which resource was missing for a connect that failed with `localShortage`. `words` describe the code. */
export function connectShortage(code: string | undefined, words: string): string {
  return code === "EADDRNOTAVAIL" ? "no local port is left for connections to upstreams" : words;
}

/**
 * Errors of the one connection that accept(2) was about to return, and EINTR: the next connection may be
 * accepted at once. Deno says ENOTCONN for ECONNABORTED.
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

/** True if a failed accept concerns one connection only. */
export function concernsOneConnection(code: string | undefined): boolean {
  return code !== undefined && ACCEPT_ONCE.has(code);
}
