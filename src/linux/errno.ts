/**
 * The error numbers that a relay meets, and words for them, by Linux's own table (asm-generic/errno-base.h and
 * errno.h: the same on x86-64 and arm64). Calls return them negated. What they mean is in `base/errno.ts`.
 */
import { connectFaultOfCode, connectShortage, isShortageCode } from "../base/errno.ts";
import type { FaultName } from "../base/fault.ts";

export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EINVAL = 22;
export const ENFILE = 23;
export const EMFILE = 24;
export const EROFS = 30;
export const EPIPE = 32;
export const EPROTO = 71;
export const EMSGSIZE = 90;
export const EAFNOSUPPORT = 97;
export const EADDRINUSE = 98;
export const EADDRNOTAVAIL = 99;
export const ENETUNREACH = 101;
export const ECONNRESET = 104;
export const ENOBUFS = 105;
export const ENOTCONN = 107;
export const ETOOMANYREFS = 109;
export const ETIMEDOUT = 110;
export const ECONNREFUSED = 111;
export const EHOSTUNREACH = 113;
export const EINPROGRESS = 115;

const WORDS: Readonly<Record<number, string>> = {
  [EPERM]: "operation not permitted",
  2: "no such file or directory",
  [EACCES]: "permission denied",
  [EROFS]: "read-only file system",
  20: "not a directory",
  28: "no space left on device",
  [ENOMEM]: "out of memory",
  [EINVAL]: "invalid argument",
  [ENFILE]: "too many open files in the system",
  [EMFILE]: "too many open files",
  [EPIPE]: "broken pipe",
  [EPROTO]: "protocol error",
  [EMSGSIZE]: "message too long",
  [EAFNOSUPPORT]: "address family not supported",
  [EADDRINUSE]: "address in use",
  [EADDRNOTAVAIL]: "address not available",
  [ENETUNREACH]: "network unreachable",
  [ECONNRESET]: "connection reset",
  [ENOBUFS]: "no buffer space",
  [ENOTCONN]: "not connected",
  [ETOOMANYREFS]: "too many descriptors under way",
  [ETIMEDOUT]: "timed out",
  [ECONNREFUSED]: "connection refused",
  [EHOSTUNREACH]: "no route to host",
};

/** Words for a person about the result of a call that failed, a negated error number. */
export function errnoWords(result: number): string {
  return WORDS[-result] ?? `error ${-result}`;
}

/** The names of the numbers for which `base/errno.ts` has a meaning. */
const NAMES: Readonly<Record<number, string>> = {
  [ENOENT]: "ENOENT",
  [EAGAIN]: "EAGAIN",
  [ENOMEM]: "ENOMEM",
  [ENFILE]: "ENFILE",
  [EMFILE]: "EMFILE",
  [EPIPE]: "EPIPE",
  [EADDRNOTAVAIL]: "EADDRNOTAVAIL",
  [ENETUNREACH]: "ENETUNREACH",
  [ECONNRESET]: "ECONNRESET",
  [ENOBUFS]: "ENOBUFS",
  [ETIMEDOUT]: "ETIMEDOUT",
  [ECONNREFUSED]: "ECONNREFUSED",
  [EHOSTUNREACH]: "EHOSTUNREACH",
};

/** What it means that a connect failed with this result, a negated error number. */
export function connectFaultOf(result: number): FaultName {
  return connectFaultOfCode(NAMES[-result]) ?? "connectFailed";
}

/** Words for a person about what a connect lacked that failed with `localShortage`. */
export function connectShortageWords(result: number): string {
  return connectShortage(NAMES[-result], errnoWords(result));
}

/** True if a call on sockets failed because a resource of this machine is exhausted. Takes any result. */
export function isShortageErrno(result: number): boolean {
  return result < 0 && isShortageCode("socket", NAMES[-result]);
}
