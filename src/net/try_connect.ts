/** Whether somebody accepts connections at an address: a connection is made, and closed at once. */
import type { Address } from "../base/address.ts";
import { Fault } from "../base/fault.ts";
import { dial, type DialLimits } from "./deno/dial.ts";

/**
 * Resolves with `connected`; with a `Fault` if that failed; with undefined if the signal was aborted. Never rejects
 * and leaves nothing open.
 */
export type TryConnect = (
  address: Address,
  limits: DialLimits,
) => Promise<"connected" | Fault | undefined>;

/** The same by `Deno.connect`, for all kinds of addresses. */
export const tryConnectByDeno: TryConnect = async (address, limits) => {
  const outcome = await dial(address, limits);
  if (outcome === undefined || outcome instanceof Fault) return outcome;
  outcome.close();
  return "connected";
};
