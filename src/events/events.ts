/**
 * Everything that can be said to have happened, in the past tense and with the facts only. Whoever acts
 * publishes one; logs, metrics, webhooks and incidents subscribe. A fact that is missing here reaches
 * nobody, and a fact without a log line in `report/log.ts` does not compile.
 *
 * Upstreams appear by the text the operator wrote for them. Times are milliseconds.
 */

/** What moved traffic: the first choice at start, a forced move, an automatic return, an operator's order. */
export type MoveKind = "start" | "failover" | "failback" | "switchover";

export type Event =
  // The process
  | { type: "proxy.started"; version: string; services: number }
  | { type: "proxy.stopping"; reason: string; sessions: number; drainMs: number }
  | { type: "proxy.stopped"; cutSessions: number }
  /** A bug of ours was caught by the last guard; what it happened in has ended, the rest goes on. */
  | { type: "proxy.faulted"; reason: string }
  /** A part of one service ended by itself; the service is started again. */
  | { type: "service.died"; reason: string; retryInMs: number }
  | { type: "relay.chosen"; engine: string; reason: string }
  /** Where an HTTP service takes its connections from: the kernel of Linux, or Deno. */
  | { type: "sockets.chosen"; sockets: "linux" | "deno"; reason: string }
  /** One worker of the engine, counted from 1, died with its sessions; it is started again. */
  | {
    type: "relay.died";
    engine: string;
    worker: number;
    sessions: number;
    reason: string;
    retryInMs: number;
  }
  | { type: "config.warned"; warning: string }
  // Verdicts
  | {
    type: "probe.failed";
    upstream: string;
    reason: string;
    tookMs: number;
    failures: number;
    fall: number;
  }
  | { type: "upstream.up"; upstream: string; reason: string }
  | {
    type: "upstream.down";
    upstream: string;
    reason: string;
    /** How long it has failed for, from the first failure of the row. */
    failingMs: number;
  }
  | { type: "upstream.doubted"; upstream: string; reason: string }
  /** Checks cannot be made for want of something on this machine; told when that begins and ends. */
  | { type: "verdict.missing"; upstream: string; reason: string }
  | { type: "verdict.resumed"; upstream: string; missingMs: number }
  // Choosing
  | { type: "selection.started"; reason: string }
  | {
    type: "selection.failed";
    round: number;
    retryInMs: number;
    reasons: readonly { readonly upstream: string; readonly reason: string }[];
  }
  // Moving
  | {
    type: "promotion.started";
    move: MoveKind;
    id: string;
    epoch: number;
    from?: string;
    to: string;
    reason: string;
  }
  /** Its triggers could not be started, or failed and are run again. */
  | {
    type: "promotion.delayed";
    to: string;
    epoch: number;
    reason: string;
    attempt: number;
    retryInMs: number;
  }
  | { type: "promotion.abandoned"; id: string; epoch: number; to: string; reason: string }
  | {
    type: "promotion.finished";
    move: MoveKind;
    id: string;
    epoch: number;
    from?: string;
    to: string;
    reason: string;
    /** From the moment the last upstream was given up (or the start) until clients were let in. */
    tookMs: number;
    /** Why the triggers failed, if clients were let in all the same. */
    triggersFailed?: string;
  }
  /** A trigger that ran beside the traffic failed after clients had been let in. */
  | { type: "promotion.flawed"; to: string; epoch: number; reason: string }
  /** A failback or switchover failed: the upstream that served before serves on. */
  | { type: "service.returned"; upstream: string; epoch: number; reason: string; tookMs: number }
  | { type: "failback.scheduled"; to: string; inMs: number; dampingMs: number; reason: string }
  | { type: "failback.cancelled"; to: string; reason: string }
  | { type: "failback.refused"; reason: string }
  // The operator's programs
  | { type: "trigger.started"; program: string; epoch: number }
  | { type: "trigger.finished"; program: string; epoch: number; tookMs: number }
  | { type: "trigger.failed"; program: string; epoch: number; reason: string; tookMs: number }
  | { type: "program.said"; program: string; upstream: string; line: string }
  // Telling people; where to is a secret
  | { type: "notification.sent"; kind: string; attempts: number }
  | { type: "notification.lost"; kind: string; attempts: number; reason: string }
  // Clients
  | { type: "clients.held"; reason: string; holdMs: number }
  | { type: "clients.refused"; reason: string }
  /** Nobody passes its checks, and clients are let through all the same, to this upstream. */
  | { type: "service.failedOpen"; upstream: string; epoch: number; reason: string }
  | { type: "port.opened"; address: string }
  | { type: "port.closed"; address: string }
  | { type: "port.failed"; address: string; reason: string; retryInMs: number }
  | { type: "accept.failed"; address: string; reason: string; retryInMs: number }
  /** The limit of descriptors allows fewer clients at one time than the operator asked for. */
  | { type: "connections.limited"; asked: number; max: number; descriptors: number }
  /** The same where the operator set no number: the default was made to fit. */
  | { type: "connections.fitted"; max: number; descriptors: number }
  | { type: "limit.reached"; limit: string; max: number }
  | { type: "sessions.cut"; upstream: string; count: number; kept: number; reason: string }
  /** `upstream` is missing where the client was given up before there was one for it. */
  | { type: "session.failed"; upstream?: string; client: string; reason: string }
  /** A request that no upstream got: 400, 408, 413, 431 … `count` of its kind since the last line. */
  | { type: "request.refused"; client: string; status: number; reason: string; count: number };

export type EventOf<T extends Event["type"]> = Extract<Event, { type: T }>;

/** How a part of one service tells what happened. Never throws and never waits. */
export type Publish = (event: Event) => void;
