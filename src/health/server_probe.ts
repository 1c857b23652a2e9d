/**
 * The contract between the checks that know the protocol of a database and those who write them. A probe asks
 * one server on a connection that it keeps, so that the end of the server is seen when it ends.
 */
import type { Address } from "../base/address.ts";
import type { Clock } from "../base/clock.ts";
import type { ServerReport } from "../failover/server_report.ts";
import type { ProbeResult } from "../failover/ports.ts";

/** The protocols that checks know. */
export type Database = "postgres" | "mysql" | "redis";

/** Which server is asked, and as whom. */
export interface ServerProbeSettings {
  readonly database: Database;
  readonly address: Address;
  /** As the operator wrote the server, for messages. */
  readonly name: string;
  /** The value of `--check-user`. Without it the database's own variables in `env` say who asks, if they do. */
  readonly user: string | undefined;
  /**
   * Reads the password of `--check-password-file` for a new connection, so that it may be changed; undefined
   * without that option. Rejects with a reason for a person if the file cannot be read.
   */
  readonly readPassword: (() => Promise<string>) | undefined;
  /** The environment of this process, for variables such as `PGSSLMODE`, `PGPASSFILE`, `REDISCLI_AUTH`. */
  readonly env: Readonly<Record<string, string>>;
  readonly clock: Clock;
}

/** How one question is asked. */
export interface Question {
  /** Aborted when the time is up: the question must then reject soon, and its connection is given up. */
  readonly signal: AbortSignal;
  /**
   * True if clients have met failures since the last answer. Then the answer must show that the server takes a
   * new connection: a new one is made, and replaces the kept one.
   */
  readonly isDoubted: boolean;
}

/** Asks one server. Questions do not overlap: the next one comes after the answer to the last. */
export interface ServerProbe {
  /**
   * Asks on the kept connection, or makes one if there is none. If the kept one turns out to be dead, a new one
   * is tried within the same question.
   *
   * Resolves if the server is alive, also if it refuses this account: the role is `unknown` then. Rejects with a
   * `NotAlive` if it is not, or if trouble of this machine keeps it from being asked. A `Fault` of a connection
   * attempt, as `net/` throws it, may be passed on as it is. Anything else counts as a bug.
   */
  ask(question: Question): Promise<ServerReport>;
  /**
   * Set by the owner. Called when the kept connection ends by itself, without a question being under way or during
   * one that fails then, with a reason for a person: the server is asked again at once.
   */
  onEnd: (reason: string) => void;
  /**
   * Makes a standby the primary, and resolves when the server itself says that it takes writes; at once if it
   * does so already. May overlap with questions, and may be repeated after a failure. Rejects with
   * `PromotionRefused` if the server certainly has not begun; any other error means that it may have, or may
   * still. Undefined where the database has no such command.
   */
  promote?(signal: AbortSignal): Promise<void>;
  /** Ends the kept connection as the protocol says. Resolves when it is closed; questions under way reject. */
  close(): Promise<void>;
}

/** Why a server does not count as alive, and how much that proves. */
export class NotAlive extends Error {
  override readonly name = "NotAlive";

  /** `evidence` as in `ProbeResult`; `reason` is for a person. */
  constructor(
    readonly evidence: Exclude<ProbeResult["evidence"], "passed">,
    reason: string,
    options?: { cause?: unknown },
  ) {
    super(reason, options);
  }
}

/** A server refused to become the primary, or could not be asked to, and has not begun. */
export class PromotionRefused extends Error {
  override readonly name = "PromotionRefused";
}

/** Makes the probe of one server; connects at the first question. `databases/databases.ts` has it. */
export type MakeServerProbe = (settings: ServerProbeSettings) => Promise<ServerProbe>;
