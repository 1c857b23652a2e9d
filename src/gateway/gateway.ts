/**
 * The HTTP data plane of one service: a Hono app in which `/__failover/*` is ours and everything else is
 * forwarded, behind the orders of the controller. In contrast to TCP mode its port stays open all the
 * time: who is refused is told so, with a page and a time to come again.
 */
import { Hono } from "hono";
import { Fault } from "../base/fault.ts";
import { LogLimiter } from "../base/log_limiter.ts";
import type { DataPlane, DrainOrder } from "../failover/ports.ts";
import type { Upstream } from "../failover/upstream.ts";
import type { RequestHead } from "../http1/head.ts";
import type { Client } from "./downstream.ts";
import { climbs } from "./climbs.ts";
import { type ForwardContext, Forwarder, type ForwardSettings } from "./forward.ts";
import { AdmissionGate } from "./admission.ts";
import { hasBeenHere } from "./headers.ts";

export interface GatewaySettings extends ForwardSettings {
  /** Exchanges that may wait at one time; further ones get 503 at once. */
  readonly heldMax: number;
  /** Whether TRACE is passed on: its answer shows the headers that were added on the way. */
  readonly allowTrace: boolean;
  /** What we call ourselves in `Via`; another name for each service. */
  readonly pseudonym: string;
}

/** A request that came back to us is told to the operator once in this time. */
const LOOP_SAID_MS = 60_000;

export interface GatewayContext extends Omit<ForwardContext, "gate"> {
  /** Answers everything below `/__failover/` but `health`; without it there is nothing else. */
  readonly admin?: { fetch(request: Request): Response | Promise<Response> };
}

/** What the app is told beside the request. */
export interface GatewayEnv {
  readonly exchange: Client;
  readonly scheme: "http" | "https";
}

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
  /** Exchanges that a mistake in this program ended. */
  readonly faulted: number;
  /** Exchanges whose client left first. */
  readonly abandoned: number;
  /** Exchanges ended because their upstream went down. */
  readonly cut: number;
  /** Bytes of request bodies, and of upgraded connections. */
  readonly clientSentBytes: number;
  /** Bytes of response bodies, and of upgraded connections. */
  readonly clientReceivedBytes: number;
  readonly longestHoldMs: number;
}

export class Gateway implements DataPlane, Disposable {
  readonly #gate: AdmissionGate;
  readonly #forwarder: Forwarder;
  readonly #settings: GatewaySettings;
  readonly #context: GatewayContext;
  /** True if an upstream has a base path, which no request may leave. */
  readonly #hasBasePath: boolean;
  readonly #loops = new LogLimiter(LOOP_SAID_MS);
  readonly #app: Hono<{ Bindings: GatewayEnv }>;

  /** Holds every exchange until the first order. */
  constructor(settings: GatewaySettings, context: GatewayContext) {
    this.#settings = settings;
    this.#context = context;
    this.#hasBasePath = [...context.upstreams.values()].some((each) =>
      each.kind === "server" && each.basePath !== ""
    );
    this.#gate = new AdmissionGate(context.clock, { heldMax: settings.heldMax });
    this.#forwarder = new Forwarder(settings, { ...context, gate: this.#gate });
    this.#app = this.#routes();
  }

  /** The fetch-style app to serve. It rejects with a Fault where the server is to tell the client. */
  readonly fetch = (request: Request, env: GatewayEnv): Response | Promise<Response> =>
    this.#app.fetch(request, env);

  #routes(): Hono<{ Bindings: GatewayEnv }> {
    const { admin } = this.#context;
    const app = new Hono<{ Bindings: GatewayEnv }>();
    app.get("/__failover/health", (c) => c.text("OK"));
    app.all("/__failover/*", (c) => admin?.fetch(c.req.raw) ?? c.notFound());
    app.all("/__failover", (c) => c.notFound());
    app.all("*", (c) => {
      this.#admit(c.env.exchange.head);
      return this.#forwarder.forward(c.env.exchange, c.req.raw, c.env.scheme);
    });
    // The server knows what to do with a fault; anything else is a bug.
    app.onError((error) => {
      throw error;
    });
    return app;
  }

  /** Throws the Fault of a request that is for no upstream, whichever is active. */
  #admit(head: RequestHead): void {
    const { allowTrace, pseudonym } = this.#settings;
    if (head.method === "TRACE" && !allowTrace) throw new Fault("methodRefused");
    if (this.#hasBasePath && climbs(head.path)) {
      throw new Fault("badRequest", "the path leaves the base path of an upstream");
    }
    if (!hasBeenHere(head, pseudonym)) return;
    const { clock, publish } = this.#context;
    if (this.#loops.allow("", clock.now())) {
      const warning =
        "a request came back to this service: an upstream leads to the service itself";
      publish({ type: "config.warned", warning });
    }
    throw new Fault("loopDetected");
  }

  open(upstream: Upstream, epoch: number): Promise<void> {
    this.#gate.open(upstream, epoch);
    return Promise.resolve();
  }

  hold(): Promise<void> {
    const active = this.#gate.route;
    this.#gate.hold();
    if (active !== undefined) this.#forwarder.callOff(active.upstream.name);
    return Promise.resolve();
  }

  refuse(): Promise<void> {
    this.#gate.close();
    return Promise.resolve();
  }

  /**
   * Nobody decides any more: whoever waits for a decision waits in vain, and whoever comes goes to the
   * upstream that is active, for as long as the drain lasts.
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

  counters(): GatewayCounters {
    const { released, held, longestHoldMs } = this.#gate;
    const { cut } = this.#forwarder.running;
    return {
      ...this.#forwarder.counters,
      ...this.#forwarder.losses,
      held,
      released,
      cut,
      longestHoldMs,
    };
  }

  /** Turns away those who wait, and closes idle connections to upstreams. */
  [Symbol.dispose](): void {
    this.#gate.close();
    this.#forwarder.running.close();
    for (const upstream of this.#context.upstreams.values()) {
      if (upstream.kind === "server") upstream.pool.close();
    }
  }
}
