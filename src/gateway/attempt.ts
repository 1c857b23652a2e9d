/**
 * One attempt of an exchange on one upstream server: get a connection, send the request, pass the response on.
 * What became of it is the value that it resolves with. It decides nothing about what follows.
 */
import type { Clock } from "../base/clock.ts";
import { Fault, FAULTS } from "../base/fault.ts";
import type { Route } from "../failover/ports.ts";
import { httpDate } from "../http1/http_date.ts";
import { type MaybeDone, whenDone } from "../http1/maybe_done.ts";
import type { ResponseHead } from "../http1/head.ts";
import type { HeadWriter } from "../http1/head_writer.ts";
import type { ExchangeOptions, Reply, ReplyListener } from "../http1/reply.ts";
import type { UpstreamConn } from "../http1/upstream_conn.ts";
import { failoverValue, write1xx } from "./answers.ts";
import { bindToClient, boundTo, isBoundLogin } from "./bound.ts";
import type { Connector } from "./connector.ts";
import { GATEWAY_ERRORS_MAX, type GatewayErrors } from "./gateway_errors.ts";
import { joinedTarget, writeRequestFields, writeResponseFields } from "./headers.ts";
import type { FailureLog } from "./failure_log.ts";
import { printedLine } from "./forwarded_lines.ts";
import type { RequestState } from "./request_state.ts";
import { mayMeanStale, type Stage } from "./retry.ts";
import type { Drainable, Running } from "./running.ts";
import { joinUpgraded, type Tunnel } from "./upgrade.ts";
import { type GatewayUpstream, publicNameOf, type ServerUpstream } from "./upstream.ts";

/** Where an attempt goes. */
export interface AttemptPlan {
  readonly route: Route;
  readonly to: GatewayUpstream;
  /** True if a new connection must be made, although there are kept ones. */
  readonly fresh: boolean;
  /** True if the new connection is watched for a moment before it is used. */
  readonly settles?: boolean;
  /** True if the attempt before got no farther than this machine, and so does not count. */
  readonly again?: boolean;
}

/** What became of an attempt. */
export type Outcome =
  /** The whole response was passed on. */
  | { readonly is: "done" }
  /** No part of a response has reached the client: another attempt may follow, as far as `stage` allows. */
  | Failure
  /** The response, or a part of it, could not be passed on: nothing can follow. */
  | { readonly is: "cut"; readonly fault: Fault };

/** An attempt that failed while another one may still follow. */
export interface Failure {
  readonly is: "failed";
  readonly fault: Fault;
  readonly stage: Stage;
  /** True if a kept connection was used, and its end may mean no more than that it had gone stale. */
  readonly reused: boolean;
}

/** The outcome of an attempt that succeeded: one object for all of them. */
export const DONE: Outcome = { is: "done" };

/** The `Failover` lines of first attempts, by the rank of the upstream: nearly all responses have one of them. */
const firstLines: Uint8Array[] = [];

/** The argument `next` of `whenDone`: gives the connection back to its owner. */
const release = (connection: UpstreamConn): void => connection.release();

/** What all attempts of a service share. */
export interface AttemptContext {
  readonly clock: Clock;
  readonly connector: Connector;
  readonly running: Running;
  readonly failures: FailureLog;
  readonly gatewayErrors: GatewayErrors;
  readonly settings: {
    /** From a request's last byte to its response's first, in milliseconds; 0 is never. */
    readonly responseTimeoutMs: number;
    /** Whether responses carry the `Failover` header. */
    readonly failoverHeader: boolean;
  };
  /** In bytes; added to when an attempt ends. */
  readonly counters: { clientSentBytes: number; clientReceivedBytes: number };
  /** Reports that the upstream of this plan is in doubt, if it is the active one. `reason`: for a person. */
  readonly doubt: (plan: AttemptPlan, hard: boolean, reason: string) => void;
  /**
   * True if a response with this status is to be dropped for another attempt elsewhere, which is possible then;
   * undefined if no status is.
   */
  readonly retriesOn:
    | ((state: RequestState, plan: AttemptPlan, status: number) => boolean)
    | undefined;
  /** Receives the outcome of each attempt. Must not throw. */
  readonly attempted: (state: RequestState, plan: AttemptPlan, outcome: Outcome) => void;
}

/**
 * Makes one attempt on a server, on a kept connection or a new one. No promise is made for a request and a
 * response that are sent and read without waiting, except for the response.
 */
export function attempt(
  context: AttemptContext,
  state: RequestState,
  plan: AttemptPlan,
  to: ServerUpstream,
): void {
  if (state.isRepeatable || to.pool.canLook) return begin(context, state, plan, to);
  // On these sockets an end that came together with the request is known only after those reads have settled,
  // and a request that may not be sent twice would be lost on that connection.
  Promise.resolve().then(() => begin(context, state, plan, to)).catch((error) => {
    context.attempted(state, plan, notSent(context.failures.faultOf(error)));
  });
}

function begin(
  context: AttemptContext,
  state: RequestState,
  plan: AttemptPlan,
  to: ServerUpstream,
): void {
  const kept = plan.fresh
    ? undefined
    : boundTo(state.client, to) ?? to.pool.take(state.isRepeatable);
  if (kept !== undefined) return new Attempt(context, state, plan, to, kept).start();
  attemptOnNew(context, state, plan, to).then((failure) => {
    if (failure !== undefined) context.attempted(state, plan, failure);
  });
}

function notSent(fault: Fault): Failure {
  return { is: "failed", fault, stage: "nothingSent", reused: false };
}

/** Resolves when the attempt has begun, or with why there is no connection for it. */
async function attemptOnNew(
  context: AttemptContext,
  state: RequestState,
  plan: AttemptPlan,
  to: ServerUpstream,
): Promise<Failure | undefined> {
  let connection: UpstreamConn;
  try {
    connection = await context.connector.connect(to, {
      signal: state.signal,
      onSlow: (reason) => context.doubt(plan, false, reason),
      settles: plan.settles === true,
    });
  } catch (error) {
    return notSent(context.failures.faultOf(error));
  }
  const { gone } = state.client;
  if (gone !== undefined) {
    connection.close();
    return notSent(gone);
  }
  new Attempt(context, state, plan, to, connection).start();
}

class Attempt implements Drainable, ReplyListener, ExchangeOptions {
  place = -1;
  count = 0;
  at = 0;
  readonly upstream: string;
  readonly epoch: number;
  readonly #context: AttemptContext;
  readonly #state: RequestState;
  readonly #plan: AttemptPlan;
  readonly #to: ServerUpstream;
  readonly #connection: UpstreamConn;
  #reply: Reply | undefined;
  #tunnel: Tunnel | undefined;

  /** Owns `connection` from here. */
  constructor(
    context: AttemptContext,
    state: RequestState,
    plan: AttemptPlan,
    to: ServerUpstream,
    connection: UpstreamConn,
  ) {
    this.upstream = to.upstream.name;
    this.epoch = plan.route.epoch;
    this.#context = context;
    this.#state = state;
    this.#plan = plan;
    this.#to = to;
    this.#connection = connection;
  }

  start(): void {
    this.#state.attempt = this;
    this.#context.running.add(this);
    try {
      this.#ask();
    } catch (error) {
      this.#fail(error);
    }
  }

  replied(reply: Reply): void {
    this.#reply = reply;
    if (this.#context.retriesOn?.(this.#state, this.#plan, reply.head.status)) {
      this.#noteStatus(reply.head.status);
      return this.#fail(new Fault("statusRefused", `${reply.head.status}`), "sentSafe");
    }
    let passing: MaybeDone;
    try {
      const { client } = this.#state;
      if (isBoundLogin(client.head, reply.head)) bindToClient(client, this.#connection, this.#to);
      passing = this.#pass(reply);
    } catch (error) {
      return this.#cutOff(error);
    }
    if (passing === undefined) return this.#end(DONE);
    passing.then(() => this.#end(DONE), (error) => this.#cutOff(error));
  }

  failed(fault: Fault): void {
    this.#fail(fault);
  }

  /** Grows with every byte that moves either way. */
  moved(): number {
    const body = this.#state.body?.received ?? 0;
    const up = body + (this.#tunnel?.count.fromClient ?? 0);
    const down = (this.#reply?.body.received ?? 0) + (this.#tunnel?.count.fromUpstream ?? 0);
    return up + down + (this.#reply === undefined ? 0 : 1);
  }

  /** Ends it from our side: the upstream went down, or nothing has moved for too long. */
  cut(fault: Fault): void {
    if (this.#tunnel !== undefined) this.#tunnel.cut();
    else this.#connection.abort(fault);
  }

  /** Ends it because its client has left. */
  clientLeft(fault: Fault): void {
    this.#connection.abort(fault);
  }

  #end(outcome: Outcome): void {
    this.#context.counters.clientReceivedBytes += this.#reply?.body.received ?? 0;
    this.#context.running.delete(this);
    this.#state.attempt = undefined;
    this.#context.attempted(this.#state, this.#plan, outcome);
  }

  /** Sends the request. */
  #ask(): void {
    const { client: { head }, body } = this.#state;
    const server = this.#to;
    const out = server.basePath === "" && head.pathStart >= 0
      ? this.#connection.requestAs(head)
      : this.#connection.request(head.method, joinedTarget(server.basePath, head.path));
    writeRequestFields(out, head, this.#state, server.rules);
    const source = body?.begin(server.rules.trailersDropped) ?? null;
    this.#connection.startExchange(source, this, this);
  }

  get responseMs(): number {
    return this.#context.settings.responseTimeoutMs;
  }

  get waitForContinue(): boolean {
    return this.#state.client.head.expectsContinue;
  }

  get upgrade(): boolean {
    return this.#state.client.head.wantsUpgrade;
  }

  onInformational(interim: ResponseHead): Promise<void> {
    return write1xx(this.#state.client, interim, this.#to);
  }

  #fail(error: unknown, stage: Stage = this.#stage()): void {
    const connection = this.#connection;
    const fault = this.#context.failures.faultOf(error);
    connection.abort(fault);
    // A kept connection that we ended was not stale, so a new connection to this upstream would not help.
    const reused = connection.reused && mayMeanStale(fault.fault);
    this.#end({ is: "failed", fault, stage, reused });
  }

  /** How far it has come, once it has failed. */
  #stage(): Stage {
    if (!this.#connection.requestStarted) return "nothingSent";
    if (this.#connection.responseStarted) return "responseStarted";
    return this.#state.isRepeatable ? "sentSafe" : "sentUnsafe";
  }

  /**
   * Passes the response on; undefined if that is done. From here on no other upstream can serve the exchange.
   */
  #pass({ head, body }: Reply): MaybeDone {
    const { clock } = this.#context;
    const { client, notes } = this.#state;
    const server = this.#to;
    if (notes !== undefined) notes.firstByteAt = clock.now();
    this.#noteStatus(head.status);
    const out = client.respond(head.status, head.reason);
    writeResponseFields(out, head, server, server.rules.via, this.#state.requestId);
    // RFC 9110 section 6.6.1: a proxy adds the date that a response lacks.
    if (!head.hasDate && head.status >= 200) out.line("Date", httpDate(clock.wall()));
    if (this.#context.settings.failoverHeader) this.#writeFailover(out);
    if (this.#state.hsts !== undefined) writeHsts(out, this.#state.hsts, head);
    if (head.status === 101) return this.#join();
    // Of a body that is left out (HEAD, 304) only a length that was declared may be passed on.
    const sending = client.send(body.none && head.semantics.length < 0 ? null : body);
    return whenDone(sending, release, this.#connection);
  }

  /** Many errors in a row put an upstream in doubt. */
  #noteStatus(status: number): void {
    const { gatewayErrors, doubt } = this.#context;
    if (!gatewayErrors.isDoubtful(this.upstream, status)) return;
    doubt(this.#plan, false, `${GATEWAY_ERRORS_MAX} responses in a row were 502, 503 or 504`);
  }

  #writeFailover(out: HeadWriter): void {
    const { attempts, reason } = this.#state;
    const { upstream } = this.#to;
    if (attempts === 1 && reason === undefined) {
      const line = firstLines[upstream.rank] ??= printedLine(
        "Failover",
        failoverValue(publicNameOf(upstream), 1, undefined),
      );
      out.raw(line);
    } else out.line("Failover", failoverValue(publicNameOf(upstream), attempts, reason));
  }

  /** Moves the bytes of an upgraded connection until both sides have ended. */
  async #join(): Promise<void> {
    const client = await this.#state.client.upgrade();
    const { finished, count } = this.#tunnel = joinUpgraded(client, this.#connection);
    if (this.#state.notes !== undefined) this.#state.notes.tunnel = count;
    await finished;
    this.#context.counters.clientSentBytes += count.fromClient;
    this.#context.counters.clientReceivedBytes += count.fromUpstream;
  }

  /** The response could not be passed on to its end. */
  #cutOff(error: unknown): void {
    const { failures: losses } = this.#context;
    const { client } = this.#state;
    const fault = losses.faultOf(error);
    this.#connection.abort(fault);
    if (client.gone === undefined) {
      losses.cut(client, this.upstream, fault);
      const { side, hard } = FAULTS[fault.fault];
      if (side === "upstream") this.#context.doubt(this.#plan, hard, fault.message);
    }
    this.#end({ is: "cut", fault });
  }
}

/** Says that clients shall use HTTPS, unless the upstream has said how long (RFC 6797 section 6.1: only once). */
function writeHsts(out: HeadWriter, value: string, { fields }: ResponseHead): void {
  if (fields.find("strict-transport-security") < 0) out.line("Strict-Transport-Security", value);
}

/** Value of the `Failover` header of a response by this upstream, if there is to be one. */
export function failoverOf(
  { failoverHeader }: { readonly failoverHeader: boolean },
  { attempts, reason }: RequestState,
  { upstream }: GatewayUpstream,
): string | undefined {
  return failoverHeader ? failoverValue(publicNameOf(upstream), attempts, reason) : undefined;
}
