/**
 * One exchange from client to upstream and back: waits at the gate if it must, is sent, and, as far as the
 * ledger allows, sent again elsewhere when that fails. It never decides which upstream is active and never
 * changes a byte of a body; what it notices about the active upstream it reports as a doubt.
 */
import type { Clock } from "../base/clock.ts";
import { Fault, FAULTS, statusOf } from "../base/fault.ts";
import type { Publish } from "../events/events.ts";
import type { Doubt, Route } from "../failover/ports.ts";
import type { Upstream } from "../failover/upstream.ts";
import type { Reply, UpstreamConn } from "../http1/upstream_conn.ts";
import type { Deadlines } from "../net/deadlines.ts";
import { responseOf, sendResponse } from "../http1/fetch_app.ts";
import { httpDate } from "../http1/http_date.ts";
import { type MaybeDone, whenDone } from "../http1/maybe_done.ts";
import { answerWithPage, type ErrorPage, failoverValue, write1xx } from "./answers.ts";
import type { KeptTotal } from "./body.ts";
import type { Client } from "./downstream.ts";
import { bind, boundTo, isBoundLogin } from "./bound.ts";
import { Connects } from "./connects.ts";
import { type AdmissionGate, DENIALS, type Rejection } from "./admission.ts";
import { joinedTarget, writeRequestFields, writeResponseFields } from "./headers.ts";
import { GATEWAY_ERRORS_MAX, GatewayErrors } from "./gateway_errors.ts";
import { isLocal, maySayStale, RetryBudget, retryDecision, type Stage } from "./retry.ts";
import { Losses } from "./losses.ts";
import { Running } from "./running.ts";
import { type RequestSettings, RequestState, ServerAttempt } from "./request_state.ts";
import { joinUpgraded } from "./upgrade.ts";
import {
  type GatewayUpstream,
  roleOf,
  type ServerUpstream,
  type StaticUpstream,
} from "./upstream.ts";

export interface ForwardSettings extends RequestSettings {
  /** The longest that one exchange waits, over all its waits, in milliseconds. */
  readonly holdMs: number;
  /** From a request's last byte to its response's first, in milliseconds; 0 is never. */
  readonly responseTimeoutMs: number;
  /** An exchange in which no byte moves for so long is ended; 0 is never. */
  readonly idleTimeoutMs: number;
  /** Whether responses tell in a `Failover` header who answered, and why. */
  readonly failoverHeader: boolean;
  readonly errorPage: ErrorPage;
}

/** The world as the forwarder is handed it. */
export interface ForwardContext {
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly publish: Publish;
  readonly gate: AdmissionGate;
  readonly upstreams: ReadonlyMap<string, GatewayUpstream>;
  /** Tells the controller that a live exchange failed. Returns at once. */
  readonly doubt: (doubt: Doubt) => void;
  /** Upstreams that may stand in for one exchange, best first; the active one may be among them. */
  readonly others: () => readonly Upstream[];
}

/** Attempts of one exchange, over all waits. */
const ATTEMPTS_MAX = 10;
/** How long after a shortage on this machine it is tried again; the pause doubles up to its maximum. */
const LOCAL_PAUSE_MS = 25;
const LOCAL_PAUSE_MS_MAX = 1_000;

/** Where an attempt goes. */
interface Step {
  readonly route: Route;
  readonly to: GatewayUpstream;
  /** True to leave kept connections alone. */
  readonly fresh: boolean;
  /** True if the attempt before got no farther than this machine, and so does not count. */
  readonly again?: boolean;
}

/** For `whenDone`. */
const release = (connection: UpstreamConn): void => connection.release();

interface Failure {
  readonly fault: Fault;
  readonly stage: Stage;
  readonly reused: boolean;
}

export class Forwarder {
  readonly running: Running;
  readonly #settings: ForwardSettings;
  readonly #context: ForwardContext;
  readonly #budget: RetryBudget;
  readonly #kept: KeptTotal = { bytes: 0 };
  readonly #connects: Connects;
  readonly #gatewayErrors = new GatewayErrors();
  readonly #losses: Losses;
  readonly counters = {
    /** Exchanges so far. */
    requests: 0,
    /** Exchanges under way. */
    active: 0,
    /** Attempts after the first. */
    retried: 0,
    /** Exchanges whose client left first. */
    abandoned: 0,
    clientSentBytes: 0,
    clientReceivedBytes: 0,
  };

  constructor(settings: ForwardSettings, context: ForwardContext) {
    this.#settings = settings;
    this.#context = context;
    const { clock, deadlines, publish } = context;
    this.#budget = new RetryBudget(clock, () => this.counters.active);
    this.#losses = new Losses(clock, publish);
    this.#connects = new Connects(clock);
    this.running = new Running(clock, deadlines, publish, settings.idleTimeoutMs);
  }

  /** Exchanges that were lost, and those of them that a mistake of ours ended. */
  get losses(): { readonly lost: number; readonly faulted: number } {
    const { lost, faulted } = this.#losses;
    return { lost, faulted };
  }

  /**
   * Answers one exchange, by an upstream or by itself. Rejects with a Fault where the client is to be
   * told, or cut off, by whoever serves it.
   */
  async forward(client: Client, scheme: "http" | "https"): Promise<void> {
    const { counters } = this;
    const state = new RequestState(client, scheme, this.#settings, this.#kept);
    counters.requests++;
    counters.active++;
    try {
      if ((client.body.length ?? 0) > this.#settings.bodyMax) {
        throw new Fault("bodyTooLarge", `over ${this.#settings.bodyMax} bytes`);
      }
      let step = this.#stepTo(this.#context.gate.route ?? await this.#wait(state, undefined));
      while (!(step instanceof Fault)) {
        const failure = await this.#try(state, step);
        if (failure === undefined) return;
        step = await this.#after(state, step, failure);
      }
      await this.#giveUp(state, step);
    } catch (error) {
      if (client.gone !== undefined) counters.abandoned++;
      throw this.#losses.faultOf(error);
    } finally {
      counters.active--;
      counters.clientSentBytes += state.body?.received ?? 0;
      state.body?.release();
      for (; state.repeats > 0; state.repeats--) this.#budget.giveBack();
    }
  }

  /** Calls off attempts to connect to an upstream that are under way; they go elsewhere. */
  callOff(upstream: string): void {
    this.#connects.callOff(upstream);
  }

  #stepTo(result: Route | Rejection): Step | Fault {
    if (typeof result === "string") return new Fault(DENIALS[result]);
    return { route: result, to: this.#of(result.upstream), fresh: false };
  }

  #of(upstream: Upstream): GatewayUpstream {
    const found = this.#context.upstreams.get(upstream.name);
    if (found === undefined) throw new Error(`No upstream is named "${upstream.name}"`);
    return found;
  }

  #wait(state: RequestState, after: Route | undefined): Promise<Route | Rejection> {
    if (state.client.gone !== undefined) return Promise.resolve("gone");
    const { gate } = this.#context;
    return gate.wait(after, this.#patience(state), (leave) => state.onGone = leave);
  }

  /** How long an exchange may still wait, over all its waits. */
  #patience(state: RequestState): number {
    const now = this.#context.clock.now();
    state.holdBy ??= now + this.#settings.holdMs;
    return state.holdBy - now;
  }

  /** What a failed attempt is followed by: another one, or the fault that the client is told. */
  async #after(state: RequestState, step: Step, failure: Failure): Promise<Step | Fault> {
    const { fault, stage, reused } = failure;
    if (state.client.gone !== undefined) throw state.client.gone;
    if (FAULTS[fault.fault].side === "client") throw fault;
    if (fault.fault === "internalError") return fault;
    if (isLocal(fault.fault)) return await this.#again(state, step, fault);
    if (stage !== "nothingSent") state.deliveries++;
    const { deliveries, refreshed, body } = state;
    const replayable = body?.replayable ?? true;
    const verdict = retryDecision({ stage, reused, replayable, deliveries, refreshed });
    if (verdict === "fresh") {
      state.refreshed = true;
      return { ...step, fresh: true };
    }
    this.#doubt(step, FAULTS[fault.fault].hard, fault.message);
    state.reason = fault.fault;
    if (verdict === "never" || state.attempts >= ATTEMPTS_MAX) return fault;
    if (stage === "sentSafe") {
      if (!await this.#budget.take(this.#patience(state), (leave) => state.onGone = leave)) {
        return fault;
      }
      state.repeats++;
    }
    const next = await this.#elsewhere(state, step);
    return next instanceof Fault && stage === "sentSafe" ? fault : next;
  }

  /** The same once more, after a pause, as long as the exchange may wait; then the shortage is told. */
  async #again(state: RequestState, step: Step, shortage: Fault): Promise<Step | Fault> {
    const { gate } = this.#context;
    state.reason = shortage.fault;
    const pauseMs = Math.min(LOCAL_PAUSE_MS * 2 ** state.shortages++, LOCAL_PAUSE_MS_MAX);
    const leftMs = this.#patience(state);
    if (leftMs <= 0) return shortage;
    const result = await gate.pause(Math.min(pauseMs, leftMs), (leave) => state.onGone = leave);
    if (result !== "late") return this.#stepTo(result);
    const present = gate.route;
    if (present === step.route) return { ...step, again: true };
    const next = this.#stepTo(present ?? await this.#wait(state, undefined));
    return next instanceof Fault ? next : { ...next, again: true };
  }

  /** Another upstream at once, or whatever the gate gives next. */
  async #elsewhere(state: RequestState, { route, to }: Step): Promise<Step | Fault> {
    const { gate, others } = this.#context;
    const present = gate.route;
    if (present !== undefined && present !== route) return this.#stepTo(present);
    state.failed = [...state.failed, to.upstream.name];
    const other = others().find((upstream) => !state.failed.includes(upstream.name));
    if (other !== undefined) return { route, to: this.#of(other), fresh: false };
    state.failed = [];
    return this.#stepTo(await this.#wait(state, route));
  }

  async #giveUp(state: RequestState, fault: Fault): Promise<void> {
    const { client } = state;
    if (client.gone !== undefined) throw client.gone;
    this.#losses.lost++;
    const { errorPage, failoverHeader } = this.#settings;
    const reason = state.reason ?? fault.fault;
    const failover = failoverHeader ? failoverValue("none", state.attempts, reason) : undefined;
    await answerWithPage(client, statusOf(fault.fault), errorPage, failover);
  }

  #doubt({ route, to }: Step, hard: boolean, reason: string): void {
    const { name } = route.upstream;
    if (to.upstream.name !== name) return;
    this.#context.doubt({ upstream: name, epoch: route.epoch, hard, reason });
  }

  /** One attempt. Undefined when the response has gone through. */
  async #try(state: RequestState, step: Step): Promise<Failure | undefined> {
    if (step.again !== true && ++state.attempts > 1) this.counters.retried++;
    const { to } = step;
    if (to.kind === "static") return await this.#serve(state, to);
    const kept = step.fresh
      ? undefined
      : boundTo(state.client, to) ?? to.pool.take(state.isRepeatable);
    const connection = kept ?? await this.#connect(state, step, to);
    if ("stage" in connection) return connection;
    const attempt = new ServerAttempt(to.upstream.name, step.route.epoch, connection, state);
    state.onGone = (fault) => connection.abort(fault);
    this.running.add(attempt);
    try {
      attempt.reply = await this.#ask(attempt, to);
      const { client } = state;
      if (isBoundLogin(client.head.fields, attempt.reply.head)) bind(client, connection, to);
    } catch (error) {
      const fault = this.#losses.faultOf(error);
      connection.abort(fault);
      // Ended by us, a kept connection was not stale: the same upstream would be no better on a fresh one.
      const reused = connection.reused && maySayStale(fault.fault);
      return { fault, stage: attempt.stage(), reused };
    } finally {
      if (attempt.reply === undefined) this.#leave(attempt);
    }
    try {
      const passing = this.#pass(attempt, step, to);
      if (passing !== undefined) await passing;
      return undefined;
    } catch (error) {
      throw this.#cutOff(attempt, step, error);
    } finally {
      this.counters.clientReceivedBytes += attempt.reply.body.received;
      this.#leave(attempt);
    }
  }

  #leave(attempt: ServerAttempt): void {
    this.running.delete(attempt);
    attempt.state.onGone = undefined;
  }

  async #serve(state: RequestState, to: StaticUpstream): Promise<undefined> {
    const response = await responseOf(state.client, to.respond);
    const value = this.#failoverValue(state, to);
    if (value !== undefined) response.headers.set("Failover", value);
    try {
      await sendResponse(state.client, response);
    } catch (error) {
      // One file that changed says nothing about the others, so there is no doubt.
      const fault = this.#losses.faultOf(error);
      this.#losses.cut(state.client, to.upstream.name, fault);
      throw fault;
    }
  }

  async #connect(
    state: RequestState,
    step: Step,
    to: ServerUpstream,
  ): Promise<UpstreamConn | Failure> {
    try {
      return await this.#connects.make(to, {
        onLeave: (leave) => state.onGone = leave,
        onSlow: (reason) => this.#doubt(step, false, reason),
        settles: step.fresh && state.deliveries > 0,
      });
    } catch (error) {
      return { fault: this.#losses.faultOf(error), stage: "nothingSent", reused: false };
    }
  }

  /** Sends the request; resolves with the head of its response. */
  #ask({ state, connection }: ServerAttempt, server: ServerUpstream): Promise<Reply> {
    const { client, scheme } = state;
    const { head } = client;
    const out = connection.request(head.method, joinedTarget(server.basePath, head.path));
    writeRequestFields(out, head, { peer: client.peer, scheme }, server.rules);
    return connection.exchange(state.body?.begin(server.rules.trailersDropped) ?? null, {
      responseMs: this.#settings.responseTimeoutMs,
      onInform: (interim) => write1xx(client, interim, server),
      waitForContinue: head.expectsContinue,
      upgrade: head.wantsUpgrade,
    });
  }

  /**
   * Passes the response on; undefined if that is done. From here on the exchange is this upstream's, for
   * better or worse.
   */
  #pass(attempt: ServerAttempt, step: Step, server: ServerUpstream): MaybeDone {
    const { state, connection } = attempt;
    const { client } = state;
    const { head, body } = attempt.reply!;
    if (this.#gatewayErrors.isDoubtful(step.to.upstream.name, head.status)) {
      this.#doubt(step, false, `${GATEWAY_ERRORS_MAX} responses in a row were 502, 503 or 504`);
    }
    const out = client.respond(head.status, head.reason);
    writeResponseFields(out, head, server, server.rules.via);
    // RFC 9110 section 6.6.1: whoever passes a response without a date on adds one.
    if (!head.hasDate && head.status >= 200) {
      out.line("Date", httpDate(this.#context.clock.wall()));
    }
    const value = this.#failoverValue(state, server);
    if (value !== undefined) out.line("Failover", value);
    if (head.status === 101) return this.#join(attempt);
    // Of a body that is left out (HEAD, 304) only a length that was declared may be told.
    return whenDone(
      client.send(body.none && head.said.length < 0 ? null : body),
      release,
      connection,
    );
  }

  /** The response could not be passed on to its end. */
  #cutOff(attempt: ServerAttempt, step: Step, error: unknown): Fault {
    const fault = this.#losses.faultOf(error);
    const { client } = attempt.state;
    attempt.connection.abort(fault);
    if (client.gone !== undefined) return fault;
    this.#losses.cut(client, attempt.upstream, fault);
    const { side, hard } = FAULTS[fault.fault];
    if (side === "upstream") this.#doubt(step, hard, fault.message);
    return fault;
  }

  async #join(attempt: ServerAttempt): Promise<void> {
    const client = await attempt.state.client.upgrade();
    attempt.tunnel = joinUpgraded(client, attempt.connection);
    await attempt.tunnel.finished;
    this.counters.clientSentBytes += attempt.tunnel.count.fromClient;
    this.counters.clientReceivedBytes += attempt.tunnel.count.fromUpstream;
  }

  #failoverValue(state: RequestState, { upstream }: GatewayUpstream): string | undefined {
    if (!this.#settings.failoverHeader) return undefined;
    return failoverValue(roleOf(upstream), state.attempts, state.reason);
  }
}
