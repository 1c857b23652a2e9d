/**
 * How many clients the limit of descriptors allows. Further clients wait to be accepted, so that established
 * sessions, checks, scripts, the admin listener and the control socket never lack a descriptor: a process without any can neither
 * check its upstreams nor fail over. Pure, except for `measure`.
 */
import { openDescriptors } from "../linux/open_descriptors.ts";
import { ProcessLibc } from "../linux/process_libc.ts";
import { kernelUnsupportedReason } from "../linux/unsupported_reason.ts";

/** What one service needs. */
export interface Need {
  /** Clients that the operator allows at one time. */
  readonly asked: number;
  /** Descriptors for each of them. */
  readonly each: number;
  /** Descriptors that do not depend on the clients: ports, loops, and what checks take for each upstream. */
  readonly fixed: number;
}

/** The limit of this process, and how many descriptors it has open already. */
export interface Descriptors {
  readonly limit: number;
  readonly open: number;
}

/**
 * Descriptors kept for the whole process: for look-ups (at most 12, a socket each), for a program that is being
 * started (three pipes, and one for an error of exec), for the log and for files that are read.
 */
const RESERVE = 24;
/** Clients of the admin listener: at most, at least, and one for so many free descriptors. */
export const ADMIN_MAX = 64;
const ADMIN_MIN = 2;
const ADMIN_SHARE = 16;
/** The same for clients of the control socket; what it takes beside: its loop, and connections beyond the limit. */
export const CONTROL_MAX = 32;
const CONTROL_MIN = 2;
const CONTROL_SHARE = 32;
const CONTROL_FIXED = 14;
/** But never more than one in so many free descriptors: commands are rare, clients are not. */
const CONTROL_COST_SHARE = 8;

/** What each part of the process may use. */
export interface Budget {
  /** For each need, in order: how many clients there may be at one time. */
  readonly clients: readonly number[];
  /** How many clients of the admin listener there may be at one time. */
  readonly admin: number;
  /** How many clients of the control socket there may be at one time. */
  readonly control: number;
}

/**
 * Divides the descriptors among the services. If they do not suffice, each service gets the same fraction of
 * what it asked for, and at least one client.
 */
export function budget(needs: readonly Need[], { limit, open }: Descriptors): Budget {
  const fixed = needs.reduce((sum, need) => sum + need.fixed, 0);
  const free = Math.max(0, limit - open - RESERVE - fixed);
  const admin = Math.max(ADMIN_MIN, Math.min(ADMIN_MAX, Math.floor(free / ADMIN_SHARE)));
  const control = Math.max(CONTROL_MIN, Math.min(CONTROL_MAX, Math.floor(free / CONTROL_SHARE)));
  const forControl = Math.min(control + CONTROL_FIXED, Math.floor(free / CONTROL_COST_SHARE));
  const wanted = needs.reduce((sum, { asked, each }) => sum + asked * each, 0);
  const share = Math.min(1, Math.max(0, free - admin - forControl) / Math.max(1, wanted));
  return {
    admin,
    control,
    clients: needs.map(({ asked }) => Math.max(1, Math.floor(asked * share))),
  };
}

/**
 * Raises the soft limit of descriptors to the hard limit (setrlimit(2)), and counts what is open. Undefined
 * where the kernel cannot be called. Deno raises the limit at its start too, but does not promise to.
 */
export function measure(): Descriptors | undefined {
  if (kernelUnsupportedReason() !== undefined) return undefined;
  using libc = new ProcessLibc();
  const limit = libc.raiseDescriptorLimit();
  if (limit === undefined) return undefined;
  return { limit, open: [...openDescriptors((fd) => libc.isOpen(fd), limit)].length };
}
