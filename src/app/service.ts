/** The contract between `app/app.ts` and a service of either mode. */
import type { FetchApp } from "../admin/listen.ts";
import type { ServiceView } from "../admin/view.ts";
import type { Clock } from "../base/clock.ts";
import type { ServiceConfig } from "../config/options.ts";
import type { Publish } from "../events/events.ts";
import type { StepObserver } from "../incidents/incidents.ts";
import type { Memory, MemoryPort } from "../failover/memory.ts";
import type { Need } from "../net/descriptors.ts";
import type { GoOn, Parcel, PassedListener, PassOn, ReceivedListeners } from "../net/handover.ts";
import type { Programs } from "../hooks/program.ts";
import type { Coordinate } from "./coordination.ts";
import type { AccessLogs } from "./access_logs.ts";
import type { Threads } from "./threads.ts";

/** What a service needs from the process. */
export interface ServiceContext {
  readonly clock: Clock;
  /** The clock of checks that are far enough apart: its timers are up to 16 ms late, and cost little. */
  readonly coarseClock: Clock;
  /** Publishes under the service's name. */
  readonly publish: Publish;
  /** Sees each step of the machine, for the records of incidents. */
  readonly observer: StepObserver;
  /** Runs the operator's check programs and triggers, and ends them with the process. */
  readonly programs: Programs;
  /** Warnings about the folder of triggers that were already logged at the start. */
  readonly triggerWarnings: readonly string[];
  /** The threads that move bytes, if there are any. */
  readonly threads: Threads;
  /** Permission bits for the files of listening unix sockets. */
  readonly socketMode: number;
  /** Most clients at one time; fewer than configured if there are not enough descriptors. */
  readonly connectionsMax: number;
  /** Unique for each run of the process; the prefix of every promotion id. */
  readonly instance: string;
  /** What the service remembers when it is restarted. */
  readonly memory: MemoryPort;
  /** How long drained sessions may continue, in milliseconds. */
  readonly drainMs: number;
  /** The files of `--access-log`, where there may be some. */
  readonly accessLogs?: AccessLogs;
  /** The service accepts no client and decides nothing before this has resolved; at once if missing. */
  readonly mayBegin?: Promise<void>;
  /** Listening sockets of the process before this one, or of systemd; those that are missing are opened. */
  readonly received?: ReceivedListeners;
  /** Shares the decisions of the service with other proxies; undefined if this one is alone. */
  readonly coordinate?: Coordinate;
  /** Builds the admin endpoints for the main port of an HTTP service. */
  publicEndpoints(view: ServiceView): Promise<FetchApp>;
}

/** Other options for a service that runs. They were read and checked, and so were the files that they name. */
export interface ServiceChange
  extends Pick<ServiceContext, "connectionsMax" | "drainMs" | "triggerWarnings" | "accessLogs"> {
  /** The mode, and the options that a reload cannot change (`Option.fixed`), are as before. */
  readonly config: ServiceConfig;
}

/** A change that can be put into force. */
export interface PreparedChange {
  /** The options whose files have other contents now, as they are written in a file: `tls_cert`. */
  readonly changedFiles: readonly string[];
  /** Puts it into force at once. Resolves when it is in force everywhere; throws or rejects only because of a bug. */
  apply(): Promise<void>;
  /** Puts the options into force again that were in force when the change was prepared. */
  undo(): Promise<void>;
}

/** A service that runs. */
export interface Service {
  /** What the admin endpoints show of the service. */
  readonly view: ServiceView;
  /** Settles only if a part of the service ends unexpectedly, which is a bug; rejects with the reason. */
  readonly finished: Promise<unknown>;
  /**
   * Stops checking and accepting, then lets sessions finish for at most `drainMs` or until `now` is aborted.
   * Resolves with the number of sessions that had to be cut.
   */
  stop(drainMs: number, now: AbortSignal): Promise<number>;
  /** Prepares a change without changing anything, or resolves with error lines that say why it is not possible. */
  prepare(change: ServiceChange): Promise<PreparedChange | readonly string[]>;
  /** Why `suspend` is not possible at this moment, for a person; undefined if it is. */
  busyWith(): string | undefined;
  /**
   * Stops checking and deciding, so that another process can take over. Resolves with what that one must know, or
   * with the reason why it is not possible now; nothing has changed then. Clients are served meanwhile.
   */
  suspend(): Promise<Memory | string>;
  /** Checks and decides again: no other process has taken over. */
  resume(): void;
  /** Its listening sockets. They stay its own, and are open at least until `stop` or `leave`. */
  listeners?(): readonly PassedListener[];
  /**
   * As `stop`, after another process has taken over its listening sockets: those are closed in this process only,
   * so that clients in their queues wait for the other one, and socket files stay. What `passOn` takes goes on
   * there; the rest may end here within `drainMs`.
   */
  leave?(passOn: PassOn, drainMs: number, now: AbortSignal): Promise<number>;
  /**
   * What continues a connection of the process before this one; undefined if this one cannot. The descriptors are the
   * caller's until it is called.
   */
  receive?(parcel: Parcel): GoOn | undefined;
}

/** A service that can be started. */
export interface Starter {
  /** The option with its listening address. */
  readonly listenOption: "bind" | "listen";
  /** That address as text. */
  readonly listensOn: string;
  /** The file descriptors that it needs. */
  readonly need: Need;
  /** Binds the address and releases it again. Resolves with the reason if it cannot be bound. */
  tryListen(): Promise<string | undefined>;
  /** Starts it. Resolves with an error line if an option cannot be satisfied. */
  start(context: ServiceContext): Promise<Service | string>;
}
