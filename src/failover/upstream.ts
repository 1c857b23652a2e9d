/** A server that traffic can be sent to, and its place in the operator's list. */
import type { Address } from "../base/address.ts";

export interface Upstream {
  /** What the operator wrote. It is the upstream's identity, and the only argument of every script. */
  readonly name: string;
  readonly address: Address;
  /** Place in the operator's list: 0 is the primary, every other a backup. */
  readonly rank: number;
}
