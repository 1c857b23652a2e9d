/**
 * The HTTP data plane of one service: a Hono app that answers our own paths, `/__failover/*`, and forwards
 * everything else, as the controller orders. In contrast to TCP mode the port stays open all the time:
 * clients that are refused get a page and a `Retry-After`.
 */
import { Hono } from "hono";
import { Fault, faultOf } from "../base/fault.ts";
import type { Semaphore } from "../base/semaphore.ts";
import { LogLimiter } from "../base/log_limiter.ts";
import type { DataPlane, DrainOrder } from "../failover/ports.ts";
import type { Upstream } from "../failover/upstream.ts";
import { serveFetch } from "../http1/fetch_app.ts";
import type { RequestHead } from "../http1/head.ts";
import type { Pool } from "../http1/pool.ts";
import type { Task } from "../http1/task.ts";
import type { Client, Serve } from "./downstream.ts";
import { isPathTraversal } from "./path_traversal.ts";
import { Forwarder } from "./forward.ts";
import type { ForwardContext, ForwardSettings } from "./forward_settings.ts";
import { AdmissionGate } from "./admission.ts";
import type { Histogram } from "../base/histogram.ts";
import { RequestTimer } from "./request_times.ts";
import { hasBeenHere } from "./headers.ts";
import { isReserved } from "./reserved_path.ts";
import type { GatewayUpstream } from "./upstream.ts";

/** What the operator has set about a gateway. */
export interface GatewaySettings extends ForwardSettings {
  /** Requests that may wait at one time; further ones get 503 at once. */
  readonly heldMax: number;
  /** Whether TRACE is forwarded: its response shows the headers that proxies have added. */
  readonly allowTrace: boolean;
  /** Our name in `Via`; each service has another one. */
  readonly pseudonym: string;
}

/** The shortest time between two warnings about requests that came back to us, in milliseconds. */
const LOOP_WARNED_MS = 60_000;

/** What a gateway needs from outside. */
export interface GatewayContext extends Omit<ForwardContext, "gate"> {
  /** Limits the requests that wait, where the limit is shared with other threads. */
  readonly held?: Semaphore;
  /** Where to count how long requests waited, if that is shared with other threads. */
  readonly waits?: Histogram;
  /** Answers all paths below `/__failover/` but `health`; without it they get 404. */
  readonly admin?: { fetch(request: Request): Response | Promise<Response> };
}

/** What the app gets beside a request (Hono's bindings). */
export interface GatewayEnv {
  /** The client's side of the exchange. A request that is forwarded is answered on it. */
  readonly downstream: Client;
  /** How the client has reached us. */
  readonly scheme: "http" | "https";
}

/** What the app responds when the exchange was answered on the downstream connection. */
const ANSWERED = new Response(null);

/** Read when metrics are scraped; all but `active` and `held` only grow. */
export interface GatewayCounters {
  /** Exchanges so far. */
  readonly requests: number;
  /** Exchanges under way, waiting ones included. */
  readonly active: number;
  /** Exchanges waiting for an upstream. */
  readonly held: number;
  /** Exchanges that waited and then got an upstream. */
  readonly released: number;
  /** Attempts after the first of an exchange. */
  readonly retried: number;
  /** Exchanges that got an error from us, or were cut off. */
  readonly lost: number;
  /** Exchanges that a bug in this program ended. */
  readonly faulted: number;
  /** Exchanges whose client left first. */
  readonly abandoned: number;
  /** Exchanges ended because their upstream went down. */
  readonly cut: number;
  /** Lines of the access log that were lost. */
  readonly accessLinesLost: number;
  /** Bytes of request bodies, and of upgraded connections. */
  readonly clientSentBytes: number;
  /** Bytes of response bodies, and of upgraded connections. */
  readonly clientReceivedBytes: number;
  /** The longest that an exchange waited for an upstream, in milliseconds. */
  readonly longestHoldMs: number;
}

/** The data plane of one service in one thread. */
export class Gateway implements DataPlane, Disposable {
  readonly #gate: AdmissionGate;
  readonly #forwarder: Forwarder;
  #settings: GatewaySettings;
  #context: GatewayContext;
  /** True if an upstream has a base path, above which no request may lead. */
  #hasBasePath: boolean;
  /** The upstreams of the last settings. */
  #listed: GatewayContext["upstreams"];
  /** Lines that access logs of former settings have lost. */
  #accessLinesLost = 0;
  readonly #loops = new LogLimiter(LOOP_WARNED_MS);
  /** Answers every request of this service. Tests use `app.request(path, init, env)`, which needs no socket. */
  readonly app: Hono<{ Bindings: GatewayEnv }>;
  /** How long requests took. */
  readonly timer: RequestTimer;

  /** Holds all requests until the first order. */
  constructor(settings: GatewaySettings, context: GatewayContext) {
    this.#settings = settings;
    this.#context = context;
    this.#listed = context.upstreams;
    this.#hasBasePath = hasBasePath(context);
    this.#gate = new AdmissionGate(context.clock, {
      heldMax: settings.heldMax,
      ...context.held === undefined ? {} : { semaphore: context.held },
      ...context.waits === undefined ? {} : { waits: context.waits },
    });
    this.timer = context.timer ?? new RequestTimer();
    this.#forwarder = new Forwarder(settings, { ...context, gate: this.#gate, timer: this.timer });
    this.app = this.#routes();
  }

  /**
   * Answers one request of a client, as the app does. A request that is not for us is recognised before the
   * app and goes straight to the forwarder, because most requests do, and the app's `Request` and routing
   * would cost them more than the rest of the way. Fails with a Fault if the server is to answer with it.
   */
  readonly serve: Serve = (downstream, scheme) => {
    if (!isReserved(downstream.head)) return this.#forward(downstream, scheme);
    const { accessLog } = this.#context;
    const notes = accessLog?.begin();
    const leave = this.#context.outside?.();
    const answer = (request: Request) => this.app.fetch(request, { downstream, scheme });
    const answering = serveFetch(downstream, answer).finally(leave);
    if (notes === undefined) return answering;
    return answering.then(
      () => accessLog!.ended(downstream, scheme, notes),
      (error) => {
        const fault = faultOf(error);
        accessLog!.ended(downstream, scheme, notes, fault);
        throw error;
      },
    );
  };

  /**
   * Forwards further requests by other settings, to other upstreams, and writes them to another access log. Those that
   * are under way end as they began, on their connections. Connections of upstreams that are not used any more are
   * closed as soon as they are idle.
   */
  configure(
    settings: GatewaySettings,
    { upstreams, accessLog }: Pick<GatewayContext, "upstreams" | "accessLog">,
  ): void {
    const { accessLog: before, upstreams: former, ...rest } = this.#context;
    if (accessLog !== before) this.#accessLinesLost += before?.lost ?? 0;
    // The present route may still lead to one that is gone, until the next decision.
    const gone = [...this.#listed].filter(([name]) => !upstreams.has(name));
    this.#listed = upstreams;
    const ways = new Map([...gone, ...upstreams]);
    const context = { ...rest, upstreams: ways, ...accessLog === undefined ? {} : { accessLog } };
    this.#settings = settings;
    this.#context = context;
    this.#hasBasePath = hasBasePath(context);
    this.#gate.setHeldMax(settings.heldMax);
    const { timer } = this;
    this.#forwarder.configure(settings, { ...context, gate: this.#gate, timer });
    const used = new Set([...upstreams.values()].map((way) => poolOf(way)));
    for (const way of former.values()) {
      const pool = poolOf(way);
      if (!used.has(pool)) pool?.close();
    }
  }

  #routes(): Hono<{ Bindings: GatewayEnv }> {
    const { admin } = this.#context;
    const app = new Hono<{ Bindings: GatewayEnv }>();
    app.get("/__failover/health", (c) => c.text("OK"));
    app.all("/__failover/*", (c) => admin?.fetch(c.req.raw) ?? c.notFound());
    app.all("*", async (c) => {
      await this.#forward(c.env.downstream, c.env.scheme);
      return ANSWERED;
    });
    // The server answers with the status of a Fault; everything else is a bug.
    app.onError((error) => {
      throw error;
    });
    return app;
  }

  #forward(downstream: Client, scheme: GatewayEnv["scheme"]): Promise<void> | Task {
    const fault = this.#unfit(downstream.head);
    if (fault !== undefined) {
      const { accessLog } = this.#context;
      accessLog?.ended(downstream, scheme, accessLog.begin(), fault);
      return Promise.reject(fault);
    }
    return this.#forwarder.forward(downstream, scheme);
  }

  /** Why a request must not be forwarded to any upstream, or undefined if it may be. */
  #unfit(head: RequestHead): Fault | undefined {
    const { allowTrace, pseudonym } = this.#settings;
    if (head.method === "TRACE" && !allowTrace) return new Fault("methodRefused");
    if (this.#hasBasePath && isPathTraversal(head.path)) {
      return new Fault("badRequest", "the path leaves the base path of an upstream");
    }
    if (!hasBeenHere(head, pseudonym)) return undefined;
    const { clock, publish } = this.#context;
    if (this.#loops.allow("", clock.now())) {
      const warning =
        "a request came back to this service: an upstream leads to the service itself";
      publish({ type: "config.warned", warning });
    }
    return new Fault("loopDetected");
  }

  open(upstream: Upstream, epoch: number): Promise<void> {
    this.#gate.open(upstream, epoch);
    return Promise.resolve();
  }

  hold(): Promise<void> {
    const active = this.#gate.route;
    this.#gate.hold();
    if (active !== undefined) this.#forwarder.cancelConnects(active.upstream.name);
    return Promise.resolve();
  }

  refuse(): Promise<void> {
    this.#gate.close();
    return Promise.resolve();
  }

  /**
   * There will be no more decisions, because the service ends: requests that wait for one are refused, and
   * requests that still come during the drain go to the active upstream.
   */
  decideNoMore(): void {
    this.#gate.decideNoMore();
  }

  confirm(upstream: string): Promise<void> {
    this.#gate.confirm(upstream);
    return Promise.resolve();
  }

  drain(order: DrainOrder): Promise<void> {
    this.#forwarder.running.drain(order);
    return Promise.resolve();
  }

  spare(upstream: string): Promise<void> {
    this.#forwarder.running.spare(upstream);
    return Promise.resolve();
  }

  /** The exchanges that an upstream is working on, of this epoch or an older one. */
  running(upstream: string, throughEpoch: number): number {
    return this.#forwarder.running.count({ upstream, throughEpoch });
  }

  busy(upstream: string, throughEpoch: number): Promise<number> {
    return Promise.resolve(this.running(upstream, throughEpoch));
  }

  counters(): GatewayCounters {
    const { released, held, longestHoldMs } = this.#gate;
    const { cut } = this.#forwarder.running;
    return {
      ...this.#forwarder.counters,
      ...this.#forwarder.losses,
      held,
      released,
      cut,
      accessLinesLost: this.#accessLinesLost + (this.#context.accessLog?.lost ?? 0),
      longestHoldMs,
    };
  }

  /** How long requests waited for an upstream. */
  holdTimes(): Histogram {
    return this.#gate.waits;
  }

  /** Refuses the requests that wait, and closes idle connections to upstreams. */
  [Symbol.dispose](): void {
    this.#gate.close();
    this.#forwarder.running.close();
    for (const way of this.#context.upstreams.values()) poolOf(way)?.close();
  }
}

function hasBasePath({ upstreams }: Pick<GatewayContext, "upstreams">): boolean {
  return [...upstreams.values()].some((way) => way.kind === "server" && way.basePath !== "");
}

function poolOf(way: GatewayUpstream): Pool | undefined {
  return way.kind === "server" ? way.pool : undefined;
}
