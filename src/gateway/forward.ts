/**
 * Takes one exchange from the client to an upstream and back. It waits for admission if it must, makes an
 * attempt (`attempt.ts`), and makes further ones if that fails and `retry.ts` allows it. The forwarder never
 * decides which upstream is active, and never changes a byte of a body. A failure of the active upstream is
 * reported to the controller as a doubt.
 */
import { isInRanges } from "../base/status_range.ts";
import { Fault, FAULTS, statusOf } from "../base/fault.ts";
import type { Route } from "../failover/ports.ts";
import type { Upstream } from "../failover/upstream.ts";
import type { Task } from "../http1/task.ts";
import type { AccessNotes } from "./access_log.ts";
import { type Rejection, REJECTIONS } from "./admission.ts";
import { answerWithPage, failoverValue } from "./answers.ts";
import {
  attempt,
  type AttemptContext,
  type AttemptPlan,
  type Failure,
  type Outcome,
} from "./attempt.ts";
import type { KeptTotal } from "./body.ts";
import { Connector } from "./connector.ts";
import type { Client } from "./downstream.ts";
import { GatewayErrors } from "./gateway_errors.ts";
import { FailureLog } from "./failure_log.ts";
import { RequestIds } from "./request_id.ts";
import type { ForwardContext, ForwardSettings } from "./forward_settings.ts";
import { RequestState } from "./request_state.ts";
import { NO_STATUS, NO_UPSTREAM, RequestTimer } from "./request_times.ts";
import { isLocal, RetryBudget, retryDecision } from "./retry.ts";
import { Running } from "./running.ts";
import { attemptStatic, type StaticContext } from "./static_attempt.ts";
import type { GatewayUpstream } from "./upstream.ts";

/** The most attempts of one exchange, over all its waits. */
const ATTEMPTS_MAX = 10;
/** Pause after a shortage on this machine, in milliseconds. It doubles each time, up to the maximum. */
const LOCAL_PAUSE_MS = 25;
const LOCAL_PAUSE_MS_MAX = 1_000;

/** How long a request waits for a check before it is sent to the same upstream a second time, in milliseconds. */
const CHECK_WAIT_MS = 250;

/** Forwards the exchanges of one service in one thread. */
export class Forwarder {
  readonly running: Running;
  #settings: ForwardSettings;
  #context: ForwardContext;
  #ids: RequestIds | undefined;
  readonly #budget: RetryBudget;
  readonly #kept: KeptTotal = { bytes: 0 };
  readonly #connector: Connector;
  #shared: AttemptContext;
  #static: StaticContext;
  readonly #failures: FailureLog;
  readonly #gatewayErrors = new GatewayErrors();
  readonly #timer: RequestTimer;
  /** The first attempt of an exchange on the present route. */
  #plan: AttemptPlan | undefined;
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
    this.#ids = settings.requestId ? new RequestIds() : undefined;
    const { clock, deadlines, publish } = context;
    this.#budget = new RetryBudget(clock, () => this.counters.active);
    this.#failures = new FailureLog(clock, publish);
    this.#connector = new Connector(clock);
    this.#timer = context.timer ?? new RequestTimer();
    this.running = new Running(clock, deadlines, publish, settings.idleTimeoutMs);
    [this.#shared, this.#static] = this.#parts(settings);
  }

  /** Further exchanges are forwarded by these settings; those that are under way end as they began. */
  configure(settings: ForwardSettings, context: ForwardContext): void {
    if (settings.requestId !== this.#settings.requestId) {
      this.#ids = settings.requestId ? new RequestIds() : undefined;
    }
    this.#settings = settings;
    this.#context = context;
    this.running.setIdle(settings.idleTimeoutMs);
    [this.#shared, this.#static] = this.#parts(settings);
    this.#plan = undefined; // its upstream may be reached in another way
  }

  #parts(settings: ForwardSettings): [AttemptContext, StaticContext] {
    const shared: AttemptContext = {
      clock: this.#context.clock,
      settings,
      connector: this.#connector,
      running: this.running,
      failures: this.#failures,
      gatewayErrors: this.#gatewayErrors,
      counters: this.counters,
      doubt: (plan, hard, reason) => this.#doubt(plan, hard, reason),
      retriesOn: settings.retryOn.length === 0
        ? undefined
        : (state, plan, status) => this.#retriesOn(state, plan, status),
      attempted: (state, plan, outcome) => this.#attempted(state, plan, outcome),
    };
    return [shared, { settings, failures: this.#failures, outside: this.#context.outside }];
  }

  /** Exchanges that were lost, and how many of them a bug in this program ended. */
  get losses(): { readonly lost: number; readonly faulted: number } {
    const { lost, faulted } = this.#failures;
    return { lost, faulted };
  }

  /**
   * Answers one exchange from an upstream, or with an error page. Fails with a Fault where the server must
   * answer the client itself (for instance with 400 or 413), or cut its connection.
   *
   * Without a promise as long as nothing must be waited for but the response.
   */
  forward(client: Client, scheme: "http" | "https"): Task {
    const { counters } = this;
    const since = this.#context.clock.recent();
    const state = new RequestState(client, scheme, this.#settings, this.#kept, since);
    state.notes = this.#context.accessLog?.begin();
    state.requestId = this.#ids?.of(client.head.fields);
    counters.requests++;
    counters.active++;
    if ((client.body.length ?? 0) > this.#settings.bodyMax) {
      this.#finish(state, new Fault("bodyTooLarge", `over ${this.#settings.bodyMax} bytes`));
    } else {
      const { route } = this.#context.gate;
      if (route === undefined) this.#followLater(state, this.#firstPlan(state));
      else this.#follow(state, this.#planFor(route));
    }
    return state;
  }

  async #firstPlan(state: RequestState): Promise<AttemptPlan | Fault> {
    return this.#planFor(await this.#wait(state, undefined));
  }

  /** Makes an attempt, or answers with the fault if there is to be none. */
  #follow(state: RequestState, plan: AttemptPlan | Fault): void {
    try {
      if (!(plan instanceof Fault)) return this.#attempt(state, plan);
    } catch (error) {
      return this.#finish(state, error);
    }
    this.#giveUp(state, plan).then(
      () => this.#finish(state),
      (error) => this.#finish(state, error),
    );
  }

  #followLater(state: RequestState, planning: Promise<AttemptPlan | Fault>): void {
    planning.then(
      (plan) => this.#follow(state, plan),
      (error) => this.#finish(state, error),
    );
  }

  #attempted(state: RequestState, plan: AttemptPlan, outcome: Outcome): void {
    if (outcome.is === "done") this.#finish(state);
    else if (outcome.is === "cut") this.#finish(state, outcome.fault);
    else this.#followLater(state, this.#after(state, plan, outcome));
  }

  /** The exchange is over, with an error if it failed. */
  #finish(state: RequestState, error?: unknown): void {
    const { counters } = this;
    if (error !== undefined && state.client.gone !== undefined) counters.abandoned++;
    counters.active--;
    counters.clientSentBytes += state.body?.received ?? 0;
    state.body?.release();
    for (; state.retryPermits > 0; state.retryPermits--) this.#budget.release();
    const fault = error === undefined ? undefined : this.#failures.faultOf(error);
    this.#time(state, fault);
    if (state.notes !== undefined) this.#log(state, state.notes, fault);
    state.end(fault);
  }

  #log(state: RequestState, notes: AccessNotes, fault: Fault | undefined): void {
    notes.attempts = state.attempts;
    notes.requestId = state.requestId;
    notes.receivedBytes = state.body?.received ?? 0;
    this.#context.accessLog?.ended(state.client, state.scheme, notes, fault);
  }

  /** Counts how long it took. Upgraded connections are sessions, and left out. */
  #time(state: RequestState, fault: Fault | undefined): void {
    const { client, since } = state;
    let { status } = client;
    let { upstream } = state;
    if (fault !== undefined && !client.responseStarted) {
      // The server answers with the status of the fault, if the client is still there.
      status = client.gone === undefined ? statusOf(fault.fault) : NO_STATUS;
      upstream = NO_UPSTREAM;
    }
    if (status === 101) return;
    this.#timer.add(client.head.method, status, upstream, this.#context.clock.recent() - since);
  }

  /** Cancels pending connects to the upstream of this name; their exchanges try another one. */
  cancelConnects(upstream: string): void {
    this.#connector.cancelPending(upstream);
  }

  #planFor(result: Route | Rejection): AttemptPlan | Fault {
    if (typeof result === "string") return new Fault(REJECTIONS[result]);
    if (this.#plan?.route === result) return this.#plan;
    return this.#plan = { route: result, to: this.#of(result.upstream), fresh: false };
  }

  #of(upstream: Upstream): GatewayUpstream {
    const found = this.#context.upstreams.get(upstream.name);
    if (found === undefined) throw new Error(`No upstream is named "${upstream.name}"`);
    return found;
  }

  #wait(state: RequestState, after: Route | undefined): Promise<Route | Rejection> {
    if (state.client.gone !== undefined) return Promise.resolve("gone");
    const { gate, clock } = this.#context;
    const waiting = gate.wait(after, this.#patience(state), state.signal);
    const { notes } = state;
    if (notes === undefined) return waiting;
    const since = clock.now();
    return waiting.finally(() => notes.heldMs += clock.now() - since);
  }

  /** How long an exchange may still wait, in milliseconds; its first wait starts the time. */
  #patience(state: RequestState): number {
    const now = this.#context.clock.now();
    state.holdBy ??= now + this.#settings.holdMs;
    return state.holdBy - now;
  }

  /** What follows a failed attempt: another attempt, or the fault that the client is answered with. */
  async #after(
    state: RequestState,
    plan: AttemptPlan,
    failure: Failure,
  ): Promise<AttemptPlan | Fault> {
    const { fault, stage, reused } = failure;
    if (state.client.gone !== undefined) throw state.client.gone;
    if (FAULTS[fault.fault].side === "client") throw fault;
    if (fault.fault === "internalError") return fault;
    if (isLocal(fault.fault)) return await this.#again(state, plan, fault);
    if (stage !== "nothingSent") state.deliveries++;
    const { deliveries, refreshed, body } = state;
    const replayable = body?.replayable ?? true;
    const decision = retryDecision({ stage, reused, replayable, deliveries, refreshed });
    if (decision === "fresh") return await this.#refresh(state, plan, failure);
    const isStatus = fault.fault === "statusRefused";
    if (!isStatus) this.#doubt(plan, FAULTS[fault.fault].hard, fault.message);
    state.reason = fault.fault;
    if (decision === "never" || state.attempts >= ATTEMPTS_MAX) return fault;
    if (stage === "sentSafe" && !isStatus) {
      if (!await this.#budget.acquire(this.#patience(state), state.signal)) return fault;
      state.retryPermits++;
    }
    const next = await this.#elsewhere(state, plan);
    if (stage !== "sentSafe") return next;
    // It may be sent only this once more, so not on a connection that may have gone stale.
    return next instanceof Fault ? fault : { ...next, fresh: true };
  }

  /** Whether to drop a response with this status; takes the permit for the retry then. */
  #retriesOn(state: RequestState, { route, to }: AttemptPlan, status: number): boolean {
    if (!isInRanges(status, this.#settings.retryOn) || !state.mayBeRepeated) return false;
    const { gate, others } = this.#context;
    const present = gate.route;
    const hasMoved = present !== undefined && present !== route;
    const isNew = ({ name }: Upstream) => name !== to.upstream.name && !state.failed.includes(name);
    if (!(hasMoved || others().some(isNew)) || !this.#budget.tryAcquire()) return false;
    state.retryPermits++;
    return true;
  }

  /**
   * The same upstream on a new connection. If it got the request already, this is the last time it is sent,
   * and a process that ends closes its connections before its port: for a moment, which may be long on a busy
   * machine, a new connection to it succeeds and is then reset as well. So a check is asked for first.
   */
  async #refresh(
    state: RequestState,
    plan: AttemptPlan,
    { stage, fault }: Failure,
  ): Promise<AttemptPlan | Fault> {
    state.refreshed = true;
    if (stage === "nothingSent") return { ...plan, fresh: true };
    const waiting = this.#context.gate.pause(CHECK_WAIT_MS, state.signal);
    this.#doubt(plan, true, fault.message);
    const result = await waiting;
    if (state.client.gone !== undefined) throw state.client.gone;
    const isElsewhere = typeof result === "object" && result !== plan.route;
    const next = isElsewhere ? this.#planFor(result) : plan;
    return next instanceof Fault ? next : { ...next, fresh: true, settles: !isElsewhere };
  }

  /** Repeats the attempt after a pause while the exchange may wait; after that, the shortage is the answer. */
  async #again(
    state: RequestState,
    plan: AttemptPlan,
    shortage: Fault,
  ): Promise<AttemptPlan | Fault> {
    const { gate } = this.#context;
    state.reason = shortage.fault;
    const pauseMs = Math.min(LOCAL_PAUSE_MS * 2 ** state.shortages++, LOCAL_PAUSE_MS_MAX);
    const leftMs = this.#patience(state);
    if (leftMs <= 0) return shortage;
    const result = await gate.pause(Math.min(pauseMs, leftMs), state.signal);
    if (result !== "late") return this.#planFor(result);
    const present = gate.route;
    if (present === plan.route) return { ...plan, again: true };
    const next = this.#planFor(present ?? await this.#wait(state, undefined));
    return next instanceof Fault ? next : { ...next, again: true };
  }

  /** Another upstream at once if there is one, else the next route that the gate opens. */
  async #elsewhere(state: RequestState, { route, to }: AttemptPlan): Promise<AttemptPlan | Fault> {
    const { gate, others } = this.#context;
    const present = gate.route;
    if (present !== undefined && present !== route) return this.#planFor(present);
    state.failed = [...state.failed, to.upstream.name];
    const other = others().find((upstream) => !state.failed.includes(upstream.name));
    if (other !== undefined) return { route, to: this.#of(other), fresh: false };
    state.failed = [];
    return this.#planFor(await this.#wait(state, route));
  }

  async #giveUp(state: RequestState, fault: Fault): Promise<void> {
    const { client } = state;
    if (client.gone !== undefined) throw client.gone;
    this.#failures.lost++;
    state.upstream = NO_UPSTREAM;
    if (state.notes !== undefined) state.notes.fault = fault;
    const { errorPage, failoverHeader } = this.#settings;
    const reason = state.reason ?? fault.fault;
    const failover = failoverHeader ? failoverValue("none", state.attempts, reason) : undefined;
    const page = { ...errorPage, failover, requestId: state.requestId, hsts: state.hsts };
    await answerWithPage(client, statusOf(fault.fault), page);
  }

  #doubt({ route, to }: AttemptPlan, hard: boolean, reason: string): void {
    const { name } = route.upstream;
    if (to.upstream.name !== name) return;
    this.#context.doubt({ upstream: name, epoch: route.epoch, hard, reason });
  }

  /** One attempt, on a server or with our own files. */
  #attempt(state: RequestState, plan: AttemptPlan): void {
    if (plan.again !== true && ++state.attempts > 1) this.counters.retried++;
    const { to } = plan;
    state.upstream = to.number ?? to.upstream.rank;
    if (state.notes !== undefined) state.notes.upstream = to.upstream.name;
    if (to.kind === "server") return attempt(this.#shared, state, plan, to);
    attemptStatic(this.#static, state, to).then(
      (outcome) => this.#attempted(state, plan, outcome),
      (error) => this.#finish(state, error),
    );
  }
}
