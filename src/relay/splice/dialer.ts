/**
 * Connects clients that have no upstream yet. Each is connected to the current route. When that fails, the
 * failure is reported as a doubt, and the client waits for the decision of the control plane: the same
 * upstream is confirmed (it connects again after a pause), another one is opened, or the time runs out.
 *
 * A client's bytes are never read here, so it can go to any upstream. A client has left when its connection
 * was reset, or when it ended with no byte before the end; an end after bytes may be a half-close by a client
 * that waits for the response.
 *
 * A shortage of descriptors or ports on this machine is no doubt about an upstream: the client waits, and
 * gets the next descriptor that is freed, before another client is accepted.
 */
import { formatAddress } from "../../base/address.ts";
import { LogLimiter } from "../../base/log_limiter.ts";
import { backoffMs } from "../../base/backoff.ts";
import { type FaultName, FAULTS } from "../../base/fault.ts";
import { connectFaultOf, connectShortageWords, isShortageErrno } from "../../linux/errno.ts";
import { FAILED, HUNG_UP, PEER_ENDED, type SockAddr, WRITABLE } from "../../linux/kernel.ts";
import { NEVER } from "../../linux/timer_wheel.ts";
import { SETTLE_MS } from "../engine.ts";
import { printSockaddr } from "./acceptor.ts";
import { COUNT } from "./counters.ts";
import type { DialerOwner } from "./owners.ts";
import type { SpliceSession } from "./session.ts";
import type { ResolvedRoute } from "./resolved_route.ts";
import type { Wait } from "./wait.ts";

/** An upstream that has not answered a connect for this time, in milliseconds, is doubted. */
const DOUBT_AFTER_MS = 500;
const RETRY_FIRST_MS = 50;
const RETRY_MAX_MS = 1_000;
/** Equal doubts within this time, in milliseconds, are reported once, because each causes a probe. */
const DOUBT_PAUSE_MS = 100;
const LOG_INTERVAL_MS = 1_000;

/** The clients without an upstream, in one thread. */
export class Dialer {
  readonly #owner: DialerOwner;
  /** Where clients go now; undefined while they are held. */
  #route: ResolvedRoute | undefined;
  readonly #doubtedAt = { hard: -Infinity, soft: -Infinity };
  readonly #failures = new LogLimiter(LOG_INTERVAL_MS);
  /** Clients that lack a descriptor or a port, in order; some may have got one meanwhile. */
  readonly #starved: SpliceSession[] = [];

  constructor(owner: DialerOwner) {
    this.#owner = owner;
  }

  /** Sets the route for new clients; undefined holds them. The caller dials those that wait already. */
  setRoute(route: ResolvedRoute | undefined): void {
    this.#route = route;
    this.#forgetDoubts();
  }

  /** True while clients wait for a descriptor or a port: none may be accepted before them. */
  get hasStarved(): boolean {
    for (let head = this.#starved[0]; head !== undefined; head = this.#starved[0]) {
      if (head.wait?.waitsFor === "resources") return true;
      this.#dequeue();
    }
    return false;
  }

  /** Descriptors were freed: the client that waits longest for one tries again. True if there was one. */
  feed(): boolean {
    if (!this.hasStarved) return false;
    this.dial(this.#dequeue());
    return true;
  }

  #dequeue(): SpliceSession {
    const session = this.#starved.shift()!;
    if (session.wait !== undefined) session.wait.isQueued = false;
    return session;
  }

  /** Connects the client along the route, or lets it wait if there is none. Drops an older attempt. */
  dial(session: SpliceSession): void {
    session.detach();
    const route = this.#route;
    if (route === undefined) return this.park(session);
    session.enter("connecting");
    session.upstreamName = route.upstream;
    session.epoch = route.epoch;
    const wait = session.wait!;
    wait.tried = 0;
    wait.first = route.first;
    const lackedResources = wait.waitsFor === "resources";
    wait.enter("connect");
    this.#tryNext(session, route);
    if (lackedResources) this.#owner.waitOver(); // new clients may be accepted again
  }

  /** Lets a client wait for an order, and cancels what was under way for it. */
  park(session: SpliceSession): void {
    session.detach();
    this.#wait(session);
  }

  /** The upstream answers probes: its early ends are passed on, failed connects are tried again. */
  confirm(upstream: string, sessions: readonly SpliceSession[]): void {
    if (this.#route?.upstream !== upstream) return;
    this.#forgetDoubts();
    const { loop } = this.#owner;
    for (const session of sessions.filter((session) => session.phase === "waiting")) {
      const wait = session.wait!;
      if (wait.waitsFor === "settling") continue; // it has not asked yet
      if (wait.waitsFor === "verdict") {
        this.#passEndOn(session, wait.unusedEnd);
        continue;
      }
      if (wait.waitsFor === "order") wait.waitsFor = "retry";
      wait.nextAt = loop.now + backoffMs(wait.failures, RETRY_MAX_MS, RETRY_FIRST_MS);
      this.#arm(session);
    }
  }

  /** Sets the addresses of the route's upstream. Clients that waited for them are dialed. */
  setAddresses(
    upstream: string,
    addresses: readonly SockAddr[],
    sessions: readonly SpliceSession[],
  ): void {
    const route = this.#route;
    if (route?.upstream !== upstream) return;
    route.setAddresses(addresses);
    for (const session of [...sessions]) {
      const lacksAddress = session.phase === "connecting"
        ? session.upstream === -1
        : session.wait?.fault === "nameUnknown" && addresses.length > 0;
      if (lacksAddress) this.dial(session);
    }
  }

  /** Handles an event on a socket of a session that is not joined. */
  early(session: SpliceSession, fd: number, flags: number): void {
    if (fd === session.client) {
      if (this.#hasLeft(session)) this.#abandon(session);
      return;
    }
    // The upstream of a waiting client has ended, which is known already.
    if (session.phase !== "connecting") return;
    const { kernel } = this.#owner.deps;
    const error = (flags & FAILED) === 0 ? 0 : kernel.takeError(fd);
    // If it sent something before the reset, the client must get that.
    if (error < 0 && kernel.peek(fd) <= 0) {
      this.#blame(session.wait!, connectFaultOf(error));
      return this.#attemptFailed(session);
    }
    if ((flags & WRITABLE) !== 0) this.#join(session, flags, error < 0);
  }

  /** Handles an expired deadline of a session that is not joined. */
  expired(session: SpliceSession, now: number): void {
    const wait = session.wait!;
    if (session.phase === "connecting") {
      if (now >= Math.min(wait.doubtAt, wait.attemptEndsAt)) {
        wait.doubtAt = NEVER;
        if (wait.address !== undefined) this.#route?.avoid(wait.address);
        this.#doubt(session, "connectTimeout");
      }
      const isOver = now >= wait.attemptEndsAt;
      if (isOver) wait.fault = "connectTimeout";
      if (isOver && now < wait.giveUpAt) return this.#attemptFailed(session);
    }
    if (now >= wait.giveUpAt) return this.#giveUp(session);
    if (now >= wait.nextAt) {
      if (wait.waitsFor !== "settling") return this.dial(session);
      wait.enter("verdict");
      this.#doubt(session, "closedUnused");
    }
    this.#arm(session);
  }

  /** The upstream ended before any byte: the client waits for a verdict, if the route is still the same. */
  endedUnused(session: SpliceSession, how: "end" | "reset"): void {
    const isCurrent = session.epoch === this.#route?.epoch;
    if (!isCurrent || this.#hasLeft(session)) return session.passEndOn(how);
    if (this.#owner.isWaitless) {
      this.#doubt(session, "closedUnused");
      return session.passEndOn(how);
    }
    if (!this.#wait(session)) return;
    const wait = session.wait!;
    wait.fault = "closedUnused";
    wait.unusedEnd = how;
    wait.enter("settling", this.#owner.loop.now + SETTLE_MS);
    this.#arm(session);
  }

  /** The upstream was reset after it got bytes of the client's and before it sent any. */
  resetUnanswered(session: SpliceSession): void {
    if (session.epoch === this.#route?.epoch) this.#doubt(session, "upstreamReset");
  }

  /** Closes a client that got no upstream. */
  lose(session: SpliceSession): void {
    this.#owner.deps.counters[COUNT.lost]!++;
    this.#noteWait(session);
    session.close();
  }

  #tryNext(session: SpliceSession, route: ResolvedRoute): void {
    const { loop, connectTimeoutMs } = this.#owner;
    const { addresses } = route;
    const wait = session.wait!;
    if (addresses === undefined) {
      // The time that a look-up takes is no evidence against the upstream.
      wait.doubtAt = wait.attemptEndsAt = NEVER;
      wait.fault = "nameSilent";
      return this.#arm(session);
    }
    if (wait.tried === 0) wait.doubtAt = loop.now + DOUBT_AFTER_MS;
    wait.attemptEndsAt = loop.now + connectTimeoutMs / Math.max(1, addresses.length);
    if (addresses.length === 0) wait.fault = "nameUnknown";
    while (wait.tried < addresses.length) {
      const address = addresses[(wait.first + wait.tried++) % addresses.length]!;
      const result = this.#connect(session, address);
      wait.address = address;
      if (result >= 0) return this.#arm(session);
      const fault = connectFaultOf(result);
      this.#blame(wait, fault);
      if (fault === "localShortage") this.#owner.short(connectShortageWords(result));
      else route.avoid(address);
      if (!isShortageErrno(result)) continue;
      wait.fault = fault; // another address would fail in the same way
      break;
    }
    this.#nowhere(session, wait.fault ?? "connectFailed");
  }

  /** No address of the route is left to try. */
  #nowhere(session: SpliceSession, fault: FaultName): void {
    const isOurs = FAULTS[fault].side === "proxy";
    if (!isOurs) session.wait!.failures++;
    // Before `#wait`, which may close the client.
    if (!isOurs) this.#doubt(session, fault);
    if (!this.#wait(session) || !isOurs) return;
    const wait = session.wait!;
    wait.enter("resources", this.#owner.loop.now + RETRY_MAX_MS);
    if (!wait.isQueued) this.#starved.push(session);
    wait.isQueued = true;
    this.#arm(session);
  }

  /** Notes why an address failed. A local shortage does not hide the failure of an earlier address. */
  #blame(wait: Wait, fault: FaultName): void {
    if (fault !== "localShortage" || wait.tried <= 1) wait.fault = fault;
  }

  /** The address under way failed: tries the next one. */
  #attemptFailed(session: SpliceSession): void {
    session.detach();
    const route = this.#route!; // a session connects only while there is one, and to that one
    const { address } = session.wait!;
    if (address !== undefined) route.avoid(address);
    this.#tryNext(session, route);
  }

  #connect(session: SpliceSession, address: SockAddr): number {
    const { loop, deps: { kernel } } = this.#owner;
    const { userTimeoutMs } = this.#owner;
    const fd = kernel.connect(address, { userTimeoutMs, keepAliveLater: true });
    if (fd < 0) return fd;
    const result = loop.watch(fd, session);
    if (result < 0) {
      kernel.close(fd);
      return result;
    }
    session.upstream = fd;
    return fd;
  }

  #join(session: SpliceSession, flags: number, wasReset: boolean): void {
    const { deps } = this.#owner;
    const wait = session.wait!;
    if (deps.kernel.isItsOwnPeer(session.upstream, wait.address!)) {
      this.#blame(wait, "connectRefused");
      return this.#attemptFailed(session);
    }
    this.#route!.prefer(wait.address!);
    const waited = wait.since !== NEVER;
    if (waited) {
      deps.counters[COUNT.released]!++;
      this.#noteWait(session);
    }
    session.enter("joined");
    if (waited) this.#owner.waitOver();
    session.join(flags, this.#owner.headerFor(session), wasReset);
  }

  /** The upstream works and ended on purpose: the client gets that end, and waits no longer. */
  #passEndOn(session: SpliceSession, how: "end" | "reset"): void {
    session.passEndOn(how);
    this.#owner.waitOver();
  }

  /** Lets the client wait for an order. False if it is closed now: it had left, or no client may wait. */
  #wait(session: SpliceSession): boolean {
    session.enter("waiting");
    const wait = session.wait!;
    if (wait.since === NEVER) wait.since = this.#owner.loop.now;
    wait.enter("order");
    if (this.#hasLeft(session)) {
      this.#abandon(session);
      return false;
    }
    if (this.#owner.isWaitless) {
      wait.fault ??= "tooManyHeld";
      this.#giveUp(session);
      return false;
    }
    this.#arm(session);
    return true;
  }

  #arm(session: SpliceSession): void {
    const wait = session.wait!;
    const due = wait.waitsFor === "connect"
      ? Math.min(wait.doubtAt, wait.attemptEndsAt)
      : wait.nextAt;
    this.#owner.loop.at(session, Math.min(due, wait.giveUpAt));
  }

  #doubt(session: SpliceSession, fault: FaultName): void {
    const { hard, words } = FAULTS[fault];
    const { now } = this.#owner.loop;
    const kind = hard ? "hard" : "soft";
    if (now - this.#doubtedAt[kind] < DOUBT_PAUSE_MS) return;
    this.#doubtedAt[kind] = now;
    this.#owner.doubt({
      upstream: session.upstreamName,
      epoch: session.epoch,
      hard,
      reason: words,
    });
  }

  /** The control plane has decided: the next failure is reported again. */
  #forgetDoubts(): void {
    this.#doubtedAt.hard = this.#doubtedAt.soft = -Infinity;
  }

  #hasLeft(session: SpliceSession): boolean {
    const { clientFlags } = session;
    if ((clientFlags & (FAILED | HUNG_UP)) !== 0) return true;
    if ((clientFlags & PEER_ENDED) === 0 || session.phase === "connecting") return false;
    return this.#owner.deps.kernel.peek(session.client) === 0;
  }

  #abandon(session: SpliceSession): void {
    this.#owner.deps.counters[COUNT.abandoned]!++;
    this.#noteWait(session);
    session.close();
  }

  #giveUp(session: SpliceSession): void {
    const { loop, deps, publish } = this.#owner;
    const reason = FAULTS[session.wait!.fault ?? "holdTimeout"].words;
    if (this.#failures.allow(`${session.upstreamName} ${reason}`, loop.now)) {
      publish({
        type: "session.failed",
        ...(session.upstreamName === "" ? {} : { upstream: session.upstreamName }),
        client: session.addresses === undefined
          ? printSockaddr(deps.kernel.peerAddress(session.client))
          : formatAddress(session.addresses.client),
        reason,
      });
    }
    this.lose(session);
  }

  /** A wait is over: counts how long it was. */
  #noteWait(session: SpliceSession): void {
    const { loop, deps: { counters, holdTimes } } = this.#owner;
    const { wait } = session;
    if (wait === undefined || wait.since === NEVER) return;
    const waitedMs = loop.now - wait.since;
    wait.since = NEVER;
    holdTimes.add(waitedMs);
    counters[COUNT.longestHoldMs] = Math.max(counters[COUNT.longestHoldMs]!, waitedMs);
  }
}
