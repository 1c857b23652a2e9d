/**
 * One client, from accept to end: it waits for an upstream, is joined to one, and is moved to another
 * only while no byte has passed in either direction. `run` is its whole life, from top to bottom; the relay
 * intervenes through the few methods above it.
 *
 * Deno cannot send a reset. An upstream's reset, or a cut, reaches the client as the end of the stream.
 */
import { formatAddress } from "../../base/address.ts";
import { backoffMs } from "../../base/backoff.ts";
import { addressOfDeno, closeConn, tune } from "../../net/deno/conn.ts";
import { dial } from "../../net/deno/dial.ts";
import type { Histogram } from "../../base/histogram.ts";
import { Fault, FAULTS } from "../../base/fault.ts";
import type { Member } from "../../base/slab.ts";
import type { Route } from "../../failover/ports.ts";
import { type RelayContext, type RelayCounters, type RelaySettings, SETTLE_MS } from "../engine.ts";
import { lingerAfterBreak } from "./linger.ts";
import type { ProxiedAddresses } from "../../net/proxy_protocol.ts";
import { proxyHeader } from "../proxy_header.ts";
import { flow, type FlowEnd, SourceReader, throwBug } from "./streams.ts";

/** After this time without an answer, in milliseconds, an attempt to connect causes a probe. */
const DOUBT_AFTER_MS = 500;
const RECONNECT_FIRST_MS = 50;
const RECONNECT_MAX_MS = 1_000;

/** Counters that one relay shares with its sessions. */
export type Tally = { -readonly [Name in keyof RelayCounters]: RelayCounters[Name] };

/** The relay that owns a session. */
export interface PortableSessionOwner {
  readonly settings: RelaySettings;
  readonly context: RelayContext;
  readonly tally: Tally;
  /** How long clients waited. */
  readonly waits: Histogram;
  /** Undefined while clients are held. */
  readonly route: Route | undefined;
  /** True when clients that wait are turned away. */
  readonly turningAway: boolean;
  /** A client waits until `fed` because this machine lacks a resource; no other client is accepted before. */
  starve(reason: string, retryInMs: number): void;
  fed(): void;
  /** Reports a client that got no upstream. */
  failed(upstream: string | undefined, client: string, reason: string): void;
}

/** Why a wait ended. */
type Woken = "rerouted" | "confirmed" | "timeUp" | "over";

/** One client of the portable engine. */
export class PortableSession implements Member {
  place = -1;
  readonly #owner: PortableSessionOwner;
  readonly #addresses: ProxiedAddresses | undefined;
  readonly #client: Deno.Conn;
  readonly #fromClient: SourceReader;
  #upstream: { readonly conn: Deno.Conn; readonly route: Route } | undefined;
  #attempt: AbortController | undefined;
  #wake: ((why: Woken) => void) | undefined;
  #over = false;
  #relayed = false;
  #waitingSince: number;
  #wasHeld = false;
  #asking = false;
  #refusals = 0;
  #slowRoute: Route | undefined;
  #trouble: Fault | undefined;
  /** When the last byte moved, on the relay's clock. */
  movedAt = 0;

  /** From here on the session owns the connection. */
  /** `addresses`: those that a balancer has named, in the place of the connection's own. */
  constructor(client: Deno.Conn, owner: PortableSessionOwner, addresses?: ProxiedAddresses) {
    this.#client = client;
    this.#addresses = addresses;
    this.#owner = owner;
    this.#fromClient = new SourceReader(client);
    this.#waitingSince = owner.context.clock.now();
  }

  /** The route this session is joined by; undefined while its client waits. */
  get joined(): Route | undefined {
    return this.#wake === undefined ? this.#upstream?.route : undefined;
  }

  /** True once a byte, or the client's end, went to either side: from then on it is never moved. */
  get relayed(): boolean {
    return this.#relayed;
  }

  /** The route has changed: a client that has relayed nothing leaves its upstream. */
  reroute(): void {
    if (this.#relayed) return;
    this.#attempt?.abort();
    if (this.#wake !== undefined) this.#wake("rerouted");
    else if (this.#upstream !== undefined) closeConn(this.#upstream.conn);
  }

  /** The upstream has passed a probe. */
  confirm(upstream: string): void {
    if (this.#asking && this.#owner.route?.upstream.name === upstream) this.#wake?.("confirmed");
  }

  /** Ends a client that has no upstream, and counts it as lost. */
  turnAway(): void {
    if (this.#over) return;
    this.#owner.tally.lost++;
    this.#noteWait();
    this.end();
  }

  /** Ends the session now, whatever its state. */
  end(): void {
    this.#over = true;
    this.#attempt?.abort();
    this.#wake?.("over");
    closeConn(this.#client);
    if (this.#upstream !== undefined) closeConn(this.#upstream.conn);
  }

  /** Resolves when the client is gone and both sockets are closed. */
  async run(): Promise<void> {
    tune(this.#client, true);
    try {
      while (!this.#over) {
        const { route, turningAway } = this.#owner;
        if (turningAway) this.turnAway();
        else if (route === undefined) await this.#wait(undefined);
        else await this.#try(route);
      }
    } finally {
      closeConn(this.#client);
    }
  }

  /** One attempt under one route. Returns when the session is over or another attempt is due. */
  async #try(route: Route): Promise<void> {
    const conn = await this.#connect(route);
    if (conn === undefined) return;
    if (conn instanceof Fault && conn.fault === "nameSilent") return this.#stillUnnamed(conn);
    if (conn instanceof Fault && FAULTS[conn.fault].side === "proxy") {
      return await this.#waitForResource(route, conn);
    }
    if (conn instanceof Fault) {
      const why = await this.#ask(route, conn);
      // The pause limits the attempts on an upstream that passes probes and refuses clients.
      const pauseMs = backoffMs(++this.#refusals, RECONNECT_MAX_MS, RECONNECT_FIRST_MS);
      if (why === "confirmed") await this.#wait(route, pauseMs);
      return;
    }
    if (this.#over || this.#owner.route !== route) return closeConn(conn); // it could not be cancelled in time
    this.#upstream = { conn, route };
    try {
      await this.#join(conn, route);
    } finally {
      closeConn(conn);
      this.#upstream = undefined;
    }
  }

  /** Resolves with nothing when the attempt was cancelled. */
  async #connect(route: Route): Promise<Deno.Conn | Fault | undefined> {
    const { settings, context: { clock, resolver } } = this.#owner;
    this.#attempt = new AbortController();
    const cancelWatch = clock.after(DOUBT_AFTER_MS, () => this.#watchClient());
    let cancelDoubt = () => {};
    const outcome = await dial(route.upstream.address, {
      clock,
      timeoutMs: Math.min(settings.connectTimeoutMs, this.#waitLeftMs()),
      signal: this.#attempt.signal,
      resolver,
      // Not earlier: the time that a look-up takes is no evidence against the upstream.
      onConnecting: () => cancelDoubt = clock.after(DOUBT_AFTER_MS, () => this.#slow(route)),
    });
    cancelWatch();
    cancelDoubt();
    this.#attempt = undefined;
    return outcome;
  }

  /** The client waits for a resource of this machine; that is no reason to doubt the upstream. */
  async #waitForResource(route: Route, fault: Fault): Promise<void> {
    this.#trouble = fault;
    const pauseMs = backoffMs(++this.#refusals, RECONNECT_MAX_MS, RECONNECT_FIRST_MS);
    this.#owner.starve(fault.message, pauseMs);
    await this.#wait(route, pauseMs);
    this.#owner.fed();
  }

  /** The name service has not answered in the time of one attempt: asks again while the client may wait. */
  #stillUnnamed(fault: Fault): void {
    this.#trouble = fault;
    if (this.#waitLeftMs() <= 0) this.#giveUp();
  }

  #slow(route: Route): void {
    if (this.#slowRoute === route) return;
    this.#slowRoute = route;
    this.#doubt(route, new Fault("connectTimeout", `${DOUBT_AFTER_MS} ms`));
  }

  #doubt(route: Route, fault: Fault): void {
    this.#owner.context.doubt({
      upstream: route.upstream.name,
      epoch: route.epoch,
      hard: FAULTS[fault.fault].hard,
      reason: fault.message,
    });
  }

  /** Reports trouble with the upstream and waits for what is decided about it. */
  async #ask(route: Route, fault: Fault): Promise<Woken> {
    this.#trouble = fault;
    this.#asking = true;
    const answer = this.#wait(route);
    this.#doubt(route, fault);
    const why = await answer;
    this.#asking = false;
    return why;
  }

  /** Waits under one route, until it changes, its upstream is confirmed, or `ms` have passed. */
  #wait(route: Route | undefined, ms = Infinity): Promise<Woken> {
    const { tally, context } = this.#owner;
    if (this.#over) return Promise.resolve("over");
    if (this.#owner.route !== route || this.#owner.turningAway) return Promise.resolve("rerouted");
    if (this.#owner.settings.heldMax === 0) {
      this.#turnAwayWith(this.#trouble ?? new Fault("tooManyHeld"));
      return Promise.resolve("over");
    }
    this.#wasHeld = true;
    tally.held++;
    this.#watchClient();
    return new Promise((resolve) => {
      const leftMs = this.#waitLeftMs();
      const cancel = context.clock.after(Math.min(ms, leftMs), () => {
        if (leftMs <= ms) this.#giveUp();
        this.#wake?.("timeUp");
      });
      this.#wake = (why) => {
        this.#wake = undefined;
        cancel();
        tally.held--;
        resolve(why);
      };
    });
  }

  /**
   * A client that resets its connection while it waits has left, and so has one that ends it without
   * having sent a byte. One that sent something is served even if it ended after that: it may have sent
   * its whole request.
   */
  #noticeLeaving(): void {
    const { arrived, failed } = this.#fromClient;
    const waits = this.#wake !== undefined || this.#attempt !== undefined;
    // While we connect, an end may be a half-close that the upstream answers.
    const hasLeft = failed || (arrived === "end" && this.#wake !== undefined);
    if (this.#over || !waits || !hasLeft) return;
    this.#owner.tally.abandoned++;
    this.#noteWait();
    this.end();
  }

  #watchClient(): void {
    this.#fromClient.first().then(() => this.#noticeLeaving());
    this.#fromClient.watch().then(() => this.#noticeLeaving());
  }

  #waitLeftMs(): number {
    const { holdMs, connectTimeoutMs } = this.#owner.settings;
    const end = this.#waitingSince + Math.max(holdMs, connectTimeoutMs);
    return Math.max(0, end - this.#owner.context.clock.now());
  }

  #giveUp(): void {
    this.#turnAwayWith(new Fault("holdTimeout", this.#trouble?.message));
  }

  #turnAwayWith(fault: Fault): void {
    const upstream = this.#owner.route?.upstream.name;
    this.#owner.failed(
      upstream,
      formatAddress(this.#addresses?.client ?? addressOfDeno(this.#client.remoteAddr)),
      fault.message,
    );
    this.turnAway();
  }

  #noteWait(): void {
    const { tally, context, waits } = this.#owner;
    const waitedMs = context.clock.now() - this.#waitingSince;
    if (this.#wasHeld) waits.add(waitedMs);
    tally.longestHoldMs = Math.max(tally.longestHoldMs, waitedMs);
  }

  /** Both ends are connected. Returns early if the upstream must be left before any byte flowed. */
  async #join(conn: Deno.Conn, route: Route): Promise<void> {
    const { tally, context } = this.#owner;
    this.#noteWait();
    if (this.#wasHeld) tally.released++;
    this.#wasHeld = false;
    this.movedAt = context.clock.now();
    tally.active++;
    try {
      tune(conn, true);
      const fromUpstream = new SourceReader(conn);
      await this.#introduce(conn);
      await Promise.race([this.#fromClient.first(), fromUpstream.first()]);
      if (this.#over || this.#owner.route !== route) return;
      if (isEnd(fromUpstream.arrived) && !isEnd(this.#fromClient.arrived)) {
        if (!await this.#isMeantToEnd(route)) return;
      }
      this.#relayed = true;
      await this.#relay(conn, fromUpstream);
      this.#over = true;
    } finally {
      tally.active--;
      this.#waitingSince = context.clock.now(); // a client that must move has its whole time again
    }
  }

  /** The upstream ended before any byte. True if it answers probes, so that this was its answer. */
  async #isMeantToEnd(route: Route): Promise<boolean> {
    if (this.#owner.settings.heldMax === 0) {
      this.#doubt(route, new Fault("closedUnused"));
      return true;
    }
    this.#waitingSince = this.#owner.context.clock.now();
    this.#owner.tally.active--;
    const why = await this.#wait(route, SETTLE_MS) === "timeUp"
      ? await this.#ask(route, new Fault("closedUnused"))
      : "rerouted";
    this.#owner.tally.active++;
    this.#wasHeld = why !== "confirmed";
    return why === "confirmed";
  }

  /** Sends the PROXY header. The client can still be moved after that, because no byte of its own was sent. */
  async #introduce(conn: Deno.Conn): Promise<void> {
    const { sendProxy } = this.#owner.settings;
    if (sendProxy === "none") return;
    const { remoteAddr, localAddr } = this.#client;
    const { client = addressOfDeno(remoteAddr), local = addressOfDeno(localAddr) } =
      this.#addresses ?? {};
    const header = proxyHeader(sendProxy, client, local);
    try {
      for (let sent = 0; sent < header.length;) sent += await conn.write(header.subarray(sent));
    } catch (error) {
      throwBug(error); // any other is the socket's end, which the first read reports
    }
  }

  async #relay(conn: Deno.Conn, fromUpstream: SourceReader): Promise<void> {
    const { tally, context: { clock } } = this.#owner;
    const sentAt = { up: this.movedAt, down: this.movedAt };
    const up = flow(this.#fromClient, conn, (bytes) => {
      tally.clientSentBytes += bytes;
      this.movedAt = sentAt.up = clock.now();
    });
    const down = flow(fromUpstream, this.#client, (bytes) => {
      tally.clientReceivedBytes += bytes;
      this.movedAt = sentAt.down = clock.now();
    });
    await Promise.all([
      up.then((end) => this.#flowOver(end, conn, down, sentAt.up)),
      down.then((end) => {
        const isUnanswered = end === "sourceFailed" && fromUpstream.arrived === "failed";
        if (isUnanswered && !this.#over) {
          this.#doubt(this.#upstream!.route, new Fault("upstreamReset"));
        }
        return this.#flowOver(end, this.#client, up, sentAt.down);
      }),
    ]);
  }

  /**
   * One direction is over. A peer that cannot be read from is gone; one that cannot be written to may still
   * have sent something, and its own direction finds the end. Either way the other gets what was sent.
   */
  async #flowOver(end: FlowEnd, sink: Deno.Conn, back: Promise<FlowEnd>, sentAt: number) {
    if (this.#over || end === "sinkFailed") return;
    if (end === "ended" && await back !== "sinkFailed") return;
    const { clock } = this.#owner.context;
    await lingerAfterBreak({ sink, back, clock, sentAt, end: () => this.end() });
    this.end();
  }
}

function isEnd(first: SourceReader["arrived"]): boolean {
  return first === "end" || first === "failed";
}
