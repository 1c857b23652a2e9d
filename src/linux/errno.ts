/**
 * The error numbers a relay meets, by Linux's own table (asm-generic/errno-base.h and errno.h: the same
 * on x86-64 and arm64). Calls return them negated.
 */
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
export const EAFNOSUPPORT = 97;
export const EADDRINUSE = 98;
export const EADDRNOTAVAIL = 99;
export const ENETUNREACH = 101;
export const ECONNRESET = 104;
export const ENOBUFS = 105;
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
  [ENOMEM]: "out of memory",
  [EINVAL]: "invalid argument",
  [ENFILE]: "too many open files in the system",
  [EMFILE]: "too many open files",
  [EPIPE]: "broken pipe",
  [EAFNOSUPPORT]: "address family not supported",
  [EADDRINUSE]: "address in use",
  [EADDRNOTAVAIL]: "address not available",
  [ENETUNREACH]: "network unreachable",
  [ECONNRESET]: "connection reset",
  [ENOBUFS]: "no buffer space",
  [ETIMEDOUT]: "timed out",
  [ECONNREFUSED]: "connection refused",
  [EHOSTUNREACH]: "no route to host",
};

/** Words for a person, of a call's result (a negated error number). */
export function errnoWords(result: number): string {
  return WORDS[-result] ?? `error ${-result}`;
}

const CONNECT_FAULTS: Readonly<Record<number, FaultName>> = {
  // A unix socket whose file is not there is as clear a no as a refused port.
  [ENOENT]: "connectRefused",
  [ECONNREFUSED]: "connectRefused",
  [ECONNRESET]: "connectReset",
  [EPIPE]: "connectReset",
  [ETIMEDOUT]: "connectTimeout",
  [EHOSTUNREACH]: "connectUnreachable",
  [ENETUNREACH]: "connectUnreachable",
  [EMFILE]: "localShortage",
  [ENFILE]: "localShortage",
  [ENOMEM]: "localShortage",
  [ENOBUFS]: "localShortage",
  [EADDRNOTAVAIL]: "localShortage",
};

/** What a connect that failed with this result means. */
export function connectFaultOf(result: number): FaultName {
  return CONNECT_FAULTS[-result] ?? "connectFailed";
}

/** True when this machine or process ran out of something: no one outside is to blame. */
export function isShortage(result: number): boolean {
  return result === -EMFILE || result === -ENFILE || result === -ENOBUFS || result === -ENOMEM;
}
