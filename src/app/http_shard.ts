/**
 * The data plane of one HTTP service in one thread: the gateway, its server and its connections to upstreams. It
 * asks the main thread for the addresses of names and for the responses of the admin endpoints. Part of the
 * composition root.
 */
import { settlesWithin } from "../base/deadline.ts";
import type { Address } from "../base/address.ts";
import { http2Counts } from "../base/http2_rules.ts";
import type { HttpConfig } from "../config/options.ts";
import { Histogram, HOLD_BOUNDS } from "../base/histogram.ts";
import type { AccessLog } from "../gateway/access_log.ts";
import { Gateway } from "../gateway/gateway.ts";
import { RequestTimer } from "../gateway/request_times.ts";
import { listen, type Listening } from "../gateway/listen.ts";
import type { Upstream } from "../failover/upstream.ts";
import type { Event } from "../events/events.ts";
import type { Libc } from "../linux/libc.ts";
import { Deadlines } from "../net/deadlines.ts";
import { LinuxTerminator, secureDialer } from "../net/linux/secure.ts";
import { TlsContexts } from "../net/tls_contexts.ts";
import type { ClientLimit } from "../net/client_limit.ts";
import type { EmbeddedLoop } from "../net/linux/embedded_loop.ts";
import { LinuxConn } from "../net/linux/conn.ts";
import { acceptShared, type SharedPort } from "../net/linux/transport.ts";
import { Resolver } from "../net/resolve.ts";
import type { Sockets } from "../net/transport.ts";
import { FairShare, YIELD_MS } from "../threads/fair_share.ts";
import type { Shard, ShardContext, ShardKind } from "../threads/shard.ts";
import { LoopClock } from "../threads/loop_clock.ts";
import { BUSY, holdCells, moreCells, threadOf } from "../threads/memory.ts";
import type { ShardOrder } from "../threads/messages.ts";
import {
  accessLogFor,
  clientLimitFor,
  clientLimits,
  endAccessLog,
  gatewaySettings,
  hasSameAccessLog,
} from "./gateway_settings.ts";
import {
  HTTP_COUNTERS,
  httpConfigOf,
  type HttpShardSettings,
  type ToHttpShard,
} from "./http_messages.ts";
import { type HttpUpstreams, httpUpstreams } from "./http_upstreams.ts";
import { keepPoolThread } from "./pool_thread.ts";
import { Questions } from "./questions.ts";

/** How a thread makes the shard. It uses promises. */
export const httpShard: ShardKind = {
  hasPromises: true,
  make: (settings, context) => new HttpShard(settings as HttpShardSettings, context),
};

/** How long an address that the main thread has found is used without asking again, in milliseconds. */
const NAME_FRESH_MS = 1_000;
/** How long all connections without a request may take to pass to another process, in milliseconds. */
const PASS_MS = 5_000;

const NO_BREACHES = http2Counts(new Map());

class HttpShard implements Shard {
  readonly #context: ShardContext;
  readonly #host: EmbeddedLoop;
  #settings: HttpShardSettings;
  readonly #clock: LoopClock;
  readonly #deadlines: Deadlines;
  readonly #questions: Questions;
  readonly #gateway: Gateway;
  readonly #clientLimit: { readonly clientLimit?: ClientLimit };
  #accessLog: AccessLog | undefined;
  readonly #sockets: Sockets;
  #upstreams: HttpUpstreams | undefined;
  readonly #abort = new AbortController();
  /** The counts of the shard before this one, whose thread died. */
  readonly #base: readonly number[];
  #address: Address | undefined;
  #listener = -1;
  #port: SharedPort | undefined;
  #listening: Listening | undefined;
  /** Connections of another process that came before this thread listens; as many as that had, and only at the start. */
  readonly #early: { readonly descriptor: number; readonly peer: string }[] = [];
  #isStopping = false;
  /** Another process accepts the clients of the listening socket. */
  #isLeft = false;
  #poolThread: Disposable | undefined;
  readonly #contexts = new TlsContexts();

  constructor(settings: HttpShardSettings, context: ShardContext) {
    this.#settings = settings;
    this.#context = context;
    const host = this.#host = context.embedded!;
    const clock = this.#clock = new LoopClock(host);
    this.#base = [...context.counters];
    this.#deadlines = new Deadlines(clock);
    this.#questions = new Questions(clock, (what) => context.report({ is: "message", what }));
    const resolver = new Resolver(clock, (host) => this.#questions.addresses(host), NAME_FRESH_MS);
    this.#sockets = {
      dialer: (options) => secureDialer(host, { ...options, resolver }, this.#contexts),
      terminator: (terms) => new LinuxTerminator(host, terms),
      listen: (_, acceptee, options) => {
        const share = new FairShare(context.limits[0]!);
        const sharing = { yieldMs: YIELD_MS, yields: (now: number) => share.yields(now) };
        const refuse = this.#refuse;
        const isOurs = () => !this.#isLeft;
        const shared = {
          listener: this.#listener,
          address: this.#address!,
          refuse,
          isOurs,
          sharing,
        };
        this.#port = acceptShared(host, shared, acceptee, options);
        return Promise.resolve(this.#port);
      },
      close: () => Promise.resolve(),
    };
    const config = httpConfigOf(settings.config);
    const upstreams = this.#upstreams = this.#upstreamsOf(config);
    this.#keepPoolThread();
    const ports = { clock, publish: (event: Event) => this.#publish(event) };
    this.#clientLimit = clientLimitFor(settings.clientTables, threadOf(context.counters), ports);
    const accessLog = this.#accessLog = this.#accessLogOf(config);
    this.#gateway = new Gateway(gatewaySettings(config, settings.errorPage, settings.pseudonym), {
      clock,
      deadlines: this.#deadlines,
      publish: (event) => this.#publish(event),
      ...accessLog === undefined ? {} : { accessLog },
      upstreams: upstreams.ways,
      doubt: (doubt) => context.report({ is: "doubt", doubt }),
      others: () => this.#standIns(),
      held: context.limits[1]!,
      waits: new Histogram(HOLD_BOUNDS, holdCells(context.counters)),
      timer: new RequestTimer(moreCells(context.counters)),
      outside: context.outside,
      admin: { fetch: (request) => this.#questions.response(request) },
    });
  }

  #upstreamsOf(config: HttpConfig): HttpUpstreams {
    const { pseudonym, numbers, dialTls } = this.#settings;
    const deps = { clock: this.#clock, deadlines: this.#deadlines, sockets: this.#sockets };
    const all = { ...deps, pseudonym, tls: dialTls };
    return httpUpstreams(config, all, numbers, this.#upstreams);
  }

  #accessLogOf(config: HttpConfig): AccessLog | undefined {
    return accessLogFor(config, {
      clock: this.#clock,
      publish: (event) => this.#publish(event),
      write: (lines) => this.#questions.written(config.accessLog, lines),
    });
  }

  #standIns(): readonly Upstream[] {
    const { standIns } = this.#settings;
    return this.#upstreams!.list.filter(({ rank }) => Atomics.load(standIns, rank) === 1);
  }

  /** Where files are served. */
  #keepPoolThread(): void {
    const hasFiles = this.#settings.config.targets.some(({ kind }) => kind !== "url");
    if (!hasFiles) return;
    this.#poolThread ??= keepPoolThread(this.#clock, () => this.#useFiles());
  }

  /** Puts other options into force; the limits are changed already. */
  #configure(settings: HttpShardSettings): void {
    const before = httpConfigOf(this.#settings.config);
    this.#settings = settings;
    const config = httpConfigOf(settings.config);
    const upstreams = this.#upstreams = this.#upstreamsOf(config);
    this.#keepPoolThread();
    if (!hasSameAccessLog(before, config)) {
      void endAccessLog(this.#accessLog, this.#clock);
      this.#accessLog = this.#accessLogOf(config);
    }
    const { errorPage, pseudonym } = settings;
    this.#gateway.configure(gatewaySettings(config, errorPage, pseudonym), {
      upstreams: upstreams.ways,
      ...this.#accessLog === undefined ? {} : { accessLog: this.#accessLog },
    });
    this.#configurePort();
    this.look(); // there may be more room
  }

  #configurePort(): void {
    const { config, connectionsMax, clientTables, https } = this.#settings;
    this.#listening?.configure({
      connectionsMax,
      limits: clientLimits(httpConfigOf(config)).limits,
      perClientMax: clientTables?.max,
      accessLog: this.#accessLog,
      tls: https,
    });
  }

  execute(order: ShardOrder): void {
    const gateway = this.#gateway;
    switch (order.do) {
      case "listen":
        return this.#listen(order.listener);
      case "open":
        return this.#open(order.upstream, order.epoch);
      case "hold":
        return void gateway.hold();
      case "refuse":
        return void gateway.refuse();
      case "confirm":
        return void gateway.confirm(order.upstream);
      case "drain":
        return void gateway.drain(order.order);
      case "spare":
        return void gateway.spare(order.upstream);
      case "count":
        this.#context.counters[BUSY] = gateway.running(order.upstream, order.throughEpoch);
        return;
      case "addresses":
        return; // connections are made to names, which are looked up as they are needed
      case "configure":
        return this.#configure(order.settings as HttpShardSettings);
      case "message":
        return this.#hear(order.what as ToHttpShard);
      case "stop":
        return void this.#stop(order.drainMs, order.isLeft);
      case "cutAll":
        return this.#abort.abort();
    }
  }

  look(): void {
    this.#listening?.permitsChanged();
    this.#port?.look();
  }

  count(): void {
    const { counters } = this.#context;
    const [inside, atPort] = [this.#gateway.counters(), this.#listening?.counters()];
    const now: Record<(typeof HTTP_COUNTERS)[number], number> = {
      ...NO_BREACHES,
      ...atPort,
      ...inside,
      accepted: atPort?.accepted ?? 0,
      overLimit: atPort?.overLimit ?? 0,
      unannounced: atPort?.unannounced ?? 0,
      handshakes: atPort?.handshakes ?? 0,
      resumed: atPort?.resumed ?? 0,
      handshakesFailed: atPort?.handshakesFailed ?? 0,
      refused: atPort?.refused ?? 0,
      faulted: inside.faulted + (atPort?.faulted ?? 0),
    };
    HTTP_COUNTERS.forEach((name, at) => {
      const before = this.#base[at]!;
      counters[at] = name === "longestHoldMs" ? Math.max(before, now[name]) : before + now[name];
    });
  }

  #hear(what: ToHttpShard): void {
    if (what.is === "address") this.#address = what.address;
    else if (what.is === "final") this.#gateway.decideNoMore();
    else if (what.is === "connection") this.#take(what.descriptor, what.peer);
    else this.#questions.answered(what.id, what.answer);
  }

  #listen(listener: number): void {
    if (this.#isStopping) return;
    this.#listener = listener;
    const settings = this.#settings;
    const { connectionsMax, https: tls } = settings;
    const limits = clientLimits(httpConfigOf(settings.config));
    // The code for TLS and HTTP/2 may have to be loaded.
    const loaded = tls === undefined && !limits.h2c ? () => {} : this.#context.outside();
    const listening = listen({ address: this.#address!, connectionsMax, tls, ...limits }, {
      clock: this.#clock,
      deadlines: this.#deadlines,
      publish: (event) => this.#publish(event),
      sockets: this.#sockets,
      semaphore: this.#context.limits[0]!,
      serve: this.#gateway.serve,
      ...this.#clientLimit,
      ...this.#accessLog === undefined ? {} : { accessLog: this.#accessLog },
    });
    void listening.finally(loaded).then((port) => {
      if (typeof port === "string") return; // these sockets have no reason not to listen
      this.#listening = port;
      for (const { descriptor, peer } of this.#early.splice(0)) this.#take(descriptor, peer);
      if (this.#settings !== settings) this.#configurePort();
      port.finished.catch(reportError);
    });
  }

  async #stop(drainMs: number, isLeft = false): Promise<void> {
    this.#isStopping = true;
    this.#isLeft = isLeft;
    for (const { descriptor } of this.#early.splice(0)) this.#host.loop.kernel.close(descriptor);
    // The clients in its queue are another process's.
    if (isLeft) await this.#passIdle();
    const cut = await this.#listening?.stop(drainMs, this.#abort.signal) ?? 0;
    this.#gateway[Symbol.dispose]();
    await endAccessLog(this.#accessLog, this.#clock);
    this.#questions.end();
    this.#poolThread?.[Symbol.dispose]();
    this.#contexts.close();
    this.#context.report({ is: "stopped", cut });
  }

  /** Clients go on in another process, as far as that is possible. Those in the queue are its own. */
  async #passIdle(): Promise<void> {
    this.#port?.leave();
    const passed = this.#listening?.passIdle((fd, peer) => this.#questions.passed(fd, peer));
    await settlesWithin(passed ?? Promise.resolve(), PASS_MS, this.#clock);
  }

  /** Goes on with a connection of another process. */
  #take(descriptor: number, peer: string): void {
    const host = this.#host;
    if (this.#isStopping) return host.loop.kernel.close(descriptor);
    if (this.#listening === undefined) return void this.#early.push({ descriptor, peer });
    this.#listening.take(new LinuxConn(host, descriptor, () => {}), peer);
  }

  async #useFiles(): Promise<void> {
    const ended = this.#context.outside();
    try {
      await Deno.lstat(".");
    } finally {
      ended();
    }
  }

  readonly #refuse = (listener: number): void => {
    if (!this.#isLeft) (this.#host.loop.kernel as Libc).shutdown(listener);
  };

  #open(name: string, epoch: number): void {
    const upstream = this.#upstreams!.list.find((each) => each.name === name);
    // One that was removed meanwhile: the next decision is on its way.
    if (upstream !== undefined) this.#gateway.open(upstream, epoch);
  }

  /** Passes an event on, unless it is about the port: the main thread publishes those. */
  #publish(event: Event): void {
    if (event.type === "port.opened" || event.type === "port.closed") return;
    this.#context.report({ is: "event", event });
  }
}
