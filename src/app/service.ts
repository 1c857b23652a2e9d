/** What `app/app.ts` asks of a service of either mode, and what it hands to one. */
import type { FetchApp } from "../admin/listen.ts";
import type { ServiceView } from "../admin/view.ts";
import type { Clock } from "../base/clock.ts";
import type { Publish } from "../events/events.ts";
import type { Need } from "../net/descriptors.ts";
import type { Programs } from "../hooks/program.ts";

export interface ServiceContext {
  readonly clock: Clock;
  /** Publishes under the service's name. */
  readonly publish: Publish;
  /** Runs the operator's programs, and ends them with the process. */
  readonly programs: Programs;
  /** What was found wrong with the folder of triggers at start, and said already. */
  readonly triggerWarnings: readonly string[];
  /** Permission bits for the files of unix sockets that are listened on. */
  readonly socketMode: number;
  /** Clients at one time, which may be fewer than the operator allows: descriptors are what there is of them. */
  readonly connectionsMax: number;
  /** Differs from run to run; begins every promotion id. */
  readonly instance: string;
  /** How long sessions may go on that are to end by themselves. */
  readonly drainMs: number;
  /** What the service's main port shows below `/__failover/`, where it speaks HTTP. */
  publicWindow(view: ServiceView): Promise<FetchApp>;
}

export interface Service {
  /** How the service looks to the operator. */
  readonly view: ServiceView;
  /** Settles only if a part ends by itself, which is a bug; rejects with its reason. */
  readonly finished: Promise<unknown>;
  /**
   * Stops checking and accepting, lets sessions end for at most `drainMs`, or until `now` is aborted.
   * Resolves with the number of sessions that had to be cut.
   */
  stop(drainMs: number, now: AbortSignal): Promise<number>;
}

/** A service that has been looked at and can be started. */
export interface Starter {
  /** The option that says where it listens. */
  readonly listenOption: "bind" | "listen";
  /** That address, for people. */
  readonly listensOn: string;
  /** What it needs of the process's descriptors. */
  readonly need: Need;
  /** Tries whether the address is free, and leaves it free. Resolves with the reason if it is not. */
  tryListen(): Promise<string | undefined>;
  /** Starts it, or resolves with what the operator asked for in vain. */
  start(context: ServiceContext): Promise<Service | string>;
}
