/**
 * How many clients there may be with the descriptors that this process may have. Beyond that they wait to be
 * accepted, so that those who are in, checks, scripts and the operator's window never lack one: a process
 * that is out of descriptors can neither ask its upstreams nor switch. Pure, but for `measure`.
 */
import { Libc } from "../linux/libc.ts";
import { kernelUnsupportedReason } from "../linux/unsupported_reason.ts";

/** What one service needs. */
export interface Need {
  /** Clients that the operator allows at one time. */
  readonly asked: number;
  /** Descriptors for each of them. */
  readonly each: number;
  /** Descriptors besides: ports, loops, and for each upstream what a check takes. */
  readonly fixed: number;
}

/** The limit of this process, and how many descriptors it has open already. */
export interface Descriptors {
  readonly limit: number;
  readonly open: number;
}

/**
 * Kept for the whole process: look-ups (at most 12, a socket each), one program that is just being started
 * (three pipes and one for the error of exec), the log and files that are read.
 */
const RESERVE = 24;
/** Numbers in a row that are free, after which no more are looked at. */
const GAP_MAX = 256;
/** Clients of the operator's window, at most and at least; and the share of what there is for them. */
export const ADMIN_MAX = 64;
const ADMIN_MIN = 2;
const ADMIN_SHARE = 16;

export interface Budget {
  /** For each need, in order: how many clients there may be at one time. */
  readonly clients: readonly number[];
  /** Clients of the operator's window at one time. */
  readonly admin: number;
}

/**
 * Shares the descriptors out. Where they do not suffice for all that was asked, each service gives up the same
 * share of it, and keeps at least one client.
 */
export function budget(needs: readonly Need[], { limit, open }: Descriptors): Budget {
  const fixed = needs.reduce((sum, need) => sum + need.fixed, 0);
  const free = Math.max(0, limit - open - RESERVE - fixed);
  const admin = Math.max(ADMIN_MIN, Math.min(ADMIN_MAX, Math.floor(free / ADMIN_SHARE)));
  const wanted = needs.reduce((sum, { asked, each }) => sum + asked * each, 0);
  const share = Math.min(1, Math.max(0, free - admin) / Math.max(1, wanted));
  return { admin, clients: needs.map(({ asked }) => Math.max(1, Math.floor(asked * share))) };
}

/**
 * Raises the limit as far as this process may, and says what it is; undefined where the system cannot be
 * asked. Deno does the same at its start, but need not always.
 */
export function measure(): Descriptors | undefined {
  if (kernelUnsupportedReason() !== undefined) return undefined;
  using libc = new Libc();
  const limit = libc.raiseDescriptorLimit();
  if (limit === undefined) return undefined;
  // The system gives the lowest number that is free, so that beyond a gap as long as this there is nothing.
  let [open, gap] = [0, 0];
  for (let fd = 0; fd < limit && gap < GAP_MAX; fd++) {
    const isOpen = libc.isOpen(fd);
    open += isOpen ? 1 : 0;
    gap = isOpen ? 0 : gap + 1;
  }
  return { limit, open };
}
