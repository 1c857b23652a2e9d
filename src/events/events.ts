/**
 * All events of the proxy: facts, in the past tense. The code that acts publishes an event; the log, the
 * metrics, the webhook and the incidents subscribe. An event without a row in `report/lines.ts` does not
 * compile.
 *
 * Upstreams are identified by the operator's text for them. Times are in milliseconds.
 */

import type { Http2Rule } from "../base/http2_rules.ts";

/**
 * What moved traffic: the first choice at the start, a forced move, an automatic return, or an operator's
 * order. `resume` repeats a promotion that another proxy of the cluster has begun and not finished.
 */
export type MoveKind = "start" | "failover" | "failback" | "switchover" | "resume";

/** One event. `type` is also the name in the log, the metrics and the feed. */
export type Event =
  // The process
  | { type: "proxy.started"; version: string; services: number }
  | { type: "proxy.stopping"; reason: string; sessions: number; drainMs: number }
  | { type: "proxy.stopped"; cutSessions: number }
  // An upgrade in place; `from` and `to` are versions
  /** A new process of this program is to take over. */
  | { type: "upgrade.started"; by: string; program: string }
  /** The new process is gone, and everything is as it was before. */
  | { type: "upgrade.failed"; reason: string }
  /** Published by the old process: it decides nothing any more, and ends what it has begun. */
  | {
    type: "upgrade.handedOver";
    from: string;
    fromPid: number;
    to: string;
    toPid: number;
    sessions: number;
    drainMs: number;
  }
  /** Published by the new process, which decides from now on. */
  | { type: "upgrade.tookOver"; from: string; fromPid: number; to: string; toPid: number }
  /** Published by the new process when the old one passes nothing on any more. */
  | {
    type: "upgrade.finished";
    from: string;
    fromPid: number;
    to: string;
    toPid: number;
    connections: number;
  }
  /**
   * A bug of the proxy was caught; the exchange or session in which it happened has ended, the rest goes
   * on.
   */
  | { type: "proxy.faulted"; reason: string }
  /** A part of a service ended unexpectedly; the service is restarted. */
  | { type: "service.died"; reason: string; retryInMs: number }
  | { type: "relay.chosen"; engine: string; reason: string }
  /** Where an HTTP service takes its connections from: the kernel of Linux, or Deno. */
  | { type: "sockets.chosen"; sockets: "linux" | "deno"; reason: string }
  /** A thread of the data plane, counted from 1, died with its sessions; it is restarted. */
  | { type: "worker.died"; worker: number; sessions: number; reason: string; retryInMs: number }
  /** A thread of the data plane got no CPU time for `forMs` milliseconds. Nothing is done about it. */
  | { type: "worker.starved"; worker: number; forMs: number }
  | { type: "config.warned"; warning: string }
  /** The config was read again and is in force; `changes` has a line for each difference, and none if there is none. */
  | { type: "config.reloaded"; by: string; changes: readonly string[] }
  /** The config was read again and has mistakes, or cannot be put into force; nothing has changed. */
  | { type: "config.refused"; by: string; errors: readonly string[] }
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
    /** Time since the first of the consecutive failures. */
    failingMs: number;
  }
  | { type: "upstream.doubted"; upstream: string; reason: string }
  /** Checks cannot be made because this machine lacks a resource; published when that begins and ends. */
  | { type: "noVerdict.began"; upstream: string; reason: string }
  | { type: "noVerdict.ended"; upstream: string; lastedMs: number }
  // Roles, where checks know them
  /** A server says another role than before; `before` is missing for its first answer. */
  | { type: "server.roleChanged"; upstream: string; role: "primary" | "standby"; before?: string }
  /** A server is alive and does not say its role: nothing protects clients from a stale primary. */
  | { type: "server.roleUnknown"; upstream: string; reason: string }
  /** An upstream is up, but may not be chosen; published again when it may not for another reason. */
  | { type: "upstream.barred"; upstream: string; kind: string; reason: string }
  | { type: "upstream.allowed"; upstream: string }
  /** This program has made a standby the primary, or could not. */
  | { type: "server.promoted"; upstream: string; epoch: number; tookMs: number }
  | {
    type: "server.promotionFailed";
    upstream: string;
    epoch: number;
    reason: string;
    tookMs: number;
  }
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
    /** From the loss of the last upstream (or from the start) until clients were admitted. */
    tookMs: number;
    /** Why the triggers failed, if clients were admitted nevertheless. */
    triggersFailed?: string;
  }
  /** A trigger that ran beside the traffic failed after clients were admitted. */
  | { type: "promotion.flawed"; to: string; epoch: number; reason: string }
  /** A failback or switchover failed; the upstream that served before continues to serve. */
  | { type: "service.returned"; upstream: string; epoch: number; reason: string; tookMs: number }
  /** The upstream that served before a restart of the process serves again, without triggers. */
  | { type: "service.continued"; upstream: string; epoch: number; reason: string; tookMs: number }
  | { type: "failback.scheduled"; to: string; inMs: number; dampingMs: number; reason: string }
  | { type: "failback.cancelled"; to: string; reason: string }
  /** The active upstream is down, and nothing is done about it, because the operator paused the service. */
  | { type: "failover.withheld"; upstream: string; reason: string }
  // Several proxies, one decision
  /** This proxy sees the active upstream down and most others do not, so that it stays active. */
  | { type: "failover.contested"; upstream: string; reason: string }
  /** Clients go where another proxy has decided. */
  | {
    type: "decision.followed";
    to: string;
    epoch: number;
    move: MoveKind;
    by: string;
    reason: string;
    tookMs: number;
  }
  /** This proxy decides for all from now on. */
  | { type: "lead.taken"; instance: string; proxies: number }
  /** This proxy does not decide any more; `reason` says why. */
  | { type: "lead.lost"; reason: string }
  /** The coordinator gives no answer, or one that cannot be used: the last decision is served, nothing is promoted. */
  | { type: "coordinator.lost"; reason: string }
  | { type: "coordinator.reached"; lostMs: number }
  /** The coordinator cannot be used, and this proxy decides alone, as it was told to. */
  | { type: "coordinator.ignored"; reason: string }
  /** Another proxy of the cluster has another version or another list of upstreams. */
  | { type: "proxy.differs"; instance: string; what: string }
  // Orders of the operator; `by` says who gave them, `reason` why, or is empty
  | { type: "order.refused"; order: string; by: string; reason: string }
  | { type: "service.paused"; by: string; reason: string }
  | { type: "service.resumed"; by: string; reason: string; pausedMs: number }
  | { type: "hold.began"; by: string; reason: string; maxMs: number }
  | { type: "hold.ended"; reason: string; heldMs: number }
  | { type: "upstream.drained"; upstream: string; by: string; reason: string }
  | { type: "upstream.undrained"; upstream: string; by: string; reason: string }
  /** Standbys are checked at once, to see who would take over; nothing else follows from it. */
  | { type: "drill.started"; by: string; reason: string; runsTriggers: boolean }
  /** `chosen` is missing if nobody would take over; `triggersFailed` says why they failed, if they did. */
  | {
    type: "drill.finished";
    chosen?: string;
    why: string;
    choiceMs: number;
    triggersFailed?: string;
  }
  // The operator's programs
  | { type: "trigger.started"; program: string; epoch: number }
  | { type: "trigger.finished"; program: string; epoch: number; tookMs: number }
  | { type: "trigger.failed"; program: string; epoch: number; reason: string; tookMs: number }
  | { type: "program.said"; program: string; upstream: string; line: string }
  // The state folder
  /** It cannot be read or written; everything else goes on, and it is tried again. */
  | { type: "state.failed"; path: string; reason: string }
  | { type: "state.restored"; path: string }
  /** This number of lines of a file in it cannot be read; they are skipped. */
  | { type: "state.damaged"; path: string; lines: number }
  // Notifications, whose URL is a secret
  | { type: "notification.sent"; kind: string; attempts: number }
  | { type: "notification.lost"; kind: string; attempts: number; reason: string }
  // The access log
  /** Lines that could not be written, since the last event about them. */
  | { type: "accessLog.lost"; count: number; reason: string }
  // Clients
  | { type: "clients.held"; reason: string; holdMs: number }
  | { type: "clients.refused"; reason: string }
  /** No upstream is chosen, as `reason` says; clients are admitted to this one nevertheless (fail open). */
  | { type: "service.failedOpen"; upstream: string; epoch: number; reason: string }
  | { type: "port.opened"; address: string }
  | { type: "port.closed"; address: string }
  /** Commands of the operator are taken at this unix socket. */
  | { type: "control.opened"; path: string }
  /** No commands can be taken; the proxy runs without a control socket. */
  | { type: "control.missing"; path: string; reason: string }
  | { type: "port.failed"; address: string; reason: string; retryInMs: number }
  | { type: "accept.failed"; address: string; reason: string; retryInMs: number }
  /** The limit of descriptors allows fewer clients at one time than the operator configured. */
  | { type: "connections.limited"; asked: number; max: number; descriptors: number }
  /** The same if the operator configured no number: the default was reduced to this number. */
  | { type: "connections.fitted"; max: number; descriptors: number }
  | { type: "limit.reached"; limit: string; max: number }
  /** A connection began without the PROXY protocol header that was asked for; `count` since the last event. */
  | { type: "proxyHeader.missing"; client: string; count: number }
  /** A client had `max` connections already; `count` were closed at once since the last event, of any client. */
  | { type: "client.limited"; client: string; max: number; count: number }
  /** TLS handshakes of clients failed; `count` for this reason since the last event about it, the last one of `client`. */
  | { type: "handshake.failed"; client: string; reason: string; count: number }
  /** A client broke a rule of HTTP/2, and a request or its connection ended; `count` for this rule since the last event. */
  | { type: "http2.broken"; client: string; rule: Http2Rule; reason: string; count: number }
  | { type: "sessions.cut"; upstream: string; count: number; kept: number; reason: string }
  /** `upstream` is missing if the client got none. */
  | { type: "session.failed"; upstream?: string; client: string; reason: string }
  /**
   * The proxy answered a request itself: 400, 408, 413, 431 … `count` counts those of this kind since the
   * last event.
   */
  | { type: "request.refused"; client: string; status: number; reason: string; count: number };

/** The event of one type. */
export type EventOf<T extends Event["type"]> = Extract<Event, { type: T }>;

/** Publishes an event of one service. Never throws and never waits. */
export type Publish = (event: Event) => void;
