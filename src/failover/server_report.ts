/**
 * What a check that knows the protocol of a database learned of a server. It contains facts only; whether the
 * server may be chosen is decided from them and from the state of the machine.
 */

/** Whether a server takes writes that others copy, or copies those of another one. */
export type Role = "primary" | "standby" | "unknown";

/** The answer of a server that is alive, which is true as soon as it takes part in the protocol. */
export interface ServerReport {
  readonly role: Role;
  /** Why the role is not known, for a person: `password refused for user app`, `too many connections`. */
  readonly reason?: string;
  /** `starting`: it recovers or loads its data and takes no commands yet. */
  readonly phase: "running" | "starting" | "shutting down";
  /** True if it refuses writes although it is a primary, for instance because an administrator said so. */
  readonly readOnly?: boolean;
  /** How many bytes of a primary's changes a standby knows of and has not received; undefined if unknown. */
  readonly lagBytes?: number;
  /** How old, in seconds, the newest change of a standby is, or 0 if it lacks none; undefined if unknown. */
  readonly lagSeconds?: number;
  /**
   * How far the server's data reach, in bytes: what a primary has written, and what a standby has received and
   * keeps when it is promoted. Only numbers of the same primary and its standbys are compared.
   */
  readonly position?: number;
  /**
   * Which server a standby copies, as `HOST:PORT` in the words of its own configuration, which need not be those of
   * the operator's list; undefined if it does not say so, or has no connection to it.
   */
  readonly source?: string;
}
