/** A server that can receive traffic, and its place in the configured order. */
import type { Address } from "../base/address.ts";

/** One server of the operator's list. */
export interface Upstream {
  /** The text of the configuration. It identifies the upstream and is the only argument of each script. */
  readonly name: string;
  readonly address: Address;
  /** Its place in the configured order: 0 is the primary, all others are backups. */
  readonly rank: number;
}
