/**
 * One client and the upstream that it is joined to: two flows. Half-closes are passed on as half-closes,
 * failures as resets. Before the join it is the record of a client that waits, which `dialer.ts` controls.
 *
 * When one side breaks, the other still gets all bytes that the kernel had acknowledged to the broken one:
 * those in our pipes, in the broken socket's receive queue and in the other socket's send queue. A reset, or
 * a close with unread bytes, would discard that queue. So the sound side is closed only when it has
 * acknowledged everything, or has acknowledged nothing for a long time. What it sends meanwhile is dropped.
 *
 * While no byte has passed in either direction, an upstream that ends does not end the session: the dialer
 * decides, because another upstream may serve the client. Hence the upstream's direction is always pumped
 * before the client's bytes are read. Records are reused, so nothing may keep one after its end.
 */
import { EAGAIN, EINTR } from "../../linux/errno.ts";
import { FAILED, HUNG_UP, PEER_ENDED, READABLE, URGENT, WRITABLE } from "../../linux/kernel.ts";
import type { ProxiedAddresses } from "../../net/proxy_protocol.ts";
import type { BugHandler, Tick, Watcher } from "../../linux/loop.ts";
import { NEVER, type Timed } from "../../linux/timer_wheel.ts";
import { COUNT } from "./counters.ts";
import { Flow } from "./flow.ts";
import type { SessionPhase, SpliceSessionOwner } from "./owners.ts";
import type { Wait } from "./wait.ts";

const COMES = READABLE | URGENT | PEER_ENDED | HUNG_UP | FAILED;
const LAST = URGENT | PEER_ENDED | HUNG_UP | FAILED;
const GOES = WRITABLE | HUNG_UP | FAILED;

/** The sound side is closed if it acknowledges nothing for this time (ms), or for a shorter idle timeout. */
const NO_ACK_MS = 30_000;
/** The first and the longest interval at which the bytes that are not acknowledged are counted. */
const POLL_FIRST_MS = 16;
const POLL_MAX_MS = 512;
/** After this time, in milliseconds, keep-alive is set on the upstream's connection: shorter sessions save the calls. */
const KEEP_ALIVE_AFTER_MS = 5_000;
/** Reads in one tick that drop what the sound side sends to the broken one. */
const DROPS_MAX = 16;

/** One client of the splice engine, or a free record for one. */
export class SpliceSession implements Watcher, Tick, Timed, BugHandler {
  phase: SessionPhase = "free";
  /** Index in the list of the worker's sessions. */
  /** Where its client is counted (`ClientLimit`). */
  limitPlace = -1;
  /** Those that a balancer has named (PROXY protocol), in the place of the connection's own. */
  addresses: ProxiedAddresses | undefined;
  index = -1;
  client = -1;
  upstream = -1;
  readonly up = new Flow(COUNT.clientSentBytes);
  readonly down = new Flow(COUNT.clientReceivedBytes);
  /** The upstream it is or was joined to, or tries to reach, and under which decision. */
  upstreamName = "";
  epoch = 0;
  /** All flags that the kernel has reported for the client so far. */
  clientFlags = 0;
  /** Set in the phases `waiting` and `connecting`, and only then. */
  wait: Wait | undefined;
  /** The socket that is broken, or -1; the other one must get all that the broken one sent. */
  #broken = -1;
  /** The broken side was reset before an orderly end: the other side must get a reset as well. */
  #wasReset = false;
  /** Milliseconds between two looks, 0 before the first; and the bytes unacknowledged at the last look. */
  #pollMs = 0;
  #owed = 0;
  /**
   * When a byte last moved for certain; and when one was last sent to the upstream, which may be dead. In loop
   * time.
   */
  #movedAt = 0;
  #sentAt = 0;
  /** What the upstream had acknowledged when the kernel was last asked; undefined before that. */
  #taken: number | undefined;

  queued = false;
  due = NEVER;
  next: Timed | undefined;
  previous: Timed | undefined;

  readonly #owner: SpliceSessionOwner;

  constructor(owner: SpliceSessionOwner) {
    this.#owner = owner;
  }

  /** Starts with a client that was just accepted, whose socket the session owns from here on. Dials nothing. */
  begin(client: number): void {
    this.client = client;
    this.clientFlags = 0;
    this.#broken = -1;
    this.#wasReset = false;
  }

  /**
   * When a byte last moved, in loop time: one that the upstream sent or acknowledged, or that was sent to the
   * client. Bytes that we sent and the upstream has not acknowledged do not count, as the send buffer of a
   * dead peer accepts them too. Asks the kernel where needed; the first question has nothing to compare with,
   * so a session that only sends to its upstream may seem to move until the second one.
   */
  get lastMoved(): number {
    if (this.#sentAt <= this.#movedAt || this.upstream === -1) return this.#movedAt;
    const { loop, deps: { kernel } } = this.#owner;
    const unacked = kernel.unacked(this.upstream);
    const acked = kernel.acked(this.upstream);
    const taken = acked >= 0 ? acked : -unacked;
    if (unacked <= 0) this.#movedAt = this.#sentAt;
    else if (this.#taken === undefined) {
      this.#taken = taken;
      return this.#sentAt;
    } else if (taken > this.#taken) this.#movedAt = loop.now;
    this.#taken = taken;
    return this.#movedAt;
  }

  /** Changes the phase, and the counters that follow from it. */
  enter(phase: SessionPhase): void {
    const { counters, held } = this.#owner.deps;
    if (phase === "waiting") held.acquireAnyway();
    if (this.phase === "waiting") held.release();
    if (this.phase === "joined") counters[COUNT.active]!--;
    if (phase === "joined") counters[COUNT.active]!++;
    this.phase = phase;
    this.#keepWait(phase === "waiting" || phase === "connecting");
  }

  #keepWait(waits: boolean): void {
    const { loop, deps: { pools }, waitMaxMs } = this.#owner;
    if (waits === (this.wait !== undefined)) return;
    if (waits) {
      this.wait = pools.takeWait();
      this.wait.begin(loop.now + waitMaxMs);
    } else {
      pools.giveWait(this.wait!);
      this.wait = undefined;
    }
  }

  /** True while the client can still be moved to another upstream without noticing it. */
  get isUnused(): boolean {
    return !this.up.used && !this.down.used;
  }

  /**
   * Joins the client to the connected `this.upstream`, which gets `header` first. `wasReset`: the upstream
   * has been reset since, but sent bytes before, which the client is to get.
   */
  join(upstreamFlags: number, header: Uint8Array | undefined, wasReset: boolean): void {
    const { loop, deps } = this.#owner;
    const { client, upstream, clientFlags } = this;
    this.up.begin(client, upstream, (clientFlags & COMES) !== 0, (clientFlags & LAST) !== 0);
    this.down.begin(upstream, client, (upstreamFlags & COMES) !== 0, (upstreamFlags & LAST) !== 0);
    if (header !== undefined) this.up.prepend(header, deps);
    if (wasReset) this.#breakSide(upstream, true);
    this.proceed(loop.now);
  }

  /** True while neither side is broken. */
  get isSound(): boolean {
    return this.#broken === -1;
  }

  /** Goes on after it stood still. A byte last moved at `movedAt`, in loop time. */
  proceed(movedAt: number): void {
    const { loop, idleTimeoutMs } = this.#owner;
    this.#movedAt = movedAt;
    this.#sentAt = 0;
    this.#taken = undefined;
    loop.after(this, Math.min(KEEP_ALIVE_AFTER_MS, idleTimeoutMs || KEEP_ALIVE_AFTER_MS));
    this.run();
  }

  ready(fd: number, flags: number): void {
    if (fd === this.client) this.clientFlags |= flags;
    if (this.phase !== "joined") return this.#owner.early(this, fd, flags);
    const isClient = fd === this.client;
    const from = isClient ? this.up : this.down;
    const into = isClient ? this.down : this.up;
    if ((flags & COMES) !== 0) from.sourceReady((flags & LAST) !== 0);
    if ((flags & GOES) !== 0) into.sinkReady();
    // Bulk is moved after all messages of this tick.
    const isBulk = from.splices || into.splices;
    if (isBulk && (flags & LAST) === 0) return this.#owner.loop.postpone(this);
    this.run();
    // The error may concern a direction in which nothing is left to do, where no system call would return it.
    if ((flags & FAILED) === 0 || this.phase !== "joined") return;
    if (fd !== this.client && fd !== this.upstream) return;
    this.#breakSide(fd, false);
    this.run();
  }

  /**
   * Moves all bytes that can be moved, in both directions, and then handles the results. Any step may end the
   * session or return it to the dialer, hence each step looks at the phase. Harmless at any time.
   */
  run(): void {
    const wasSound = this.#broken === -1;
    this.#pump(this.down);
    this.#pump(this.up);
    if (this.#broken !== -1) {
      // The second direction may have found the source of the first one broken, which is to be emptied.
      if (wasSound) this.#pump(this.#fromBroken);
      this.#drop();
    }
    this.#settle();
  }

  expire(now: number): void {
    if (this.phase !== "joined") return this.#owner.expired(this, now);
    if (this.#broken !== -1) return this.#poll(now);
    const { loop, deps, idleTimeoutMs } = this.#owner;
    deps.kernel.keepAlive(this.upstream);
    if (idleTimeoutMs === 0) return;
    const idleAt = this.lastMoved + idleTimeoutMs;
    if (now < idleAt) loop.at(this, idleAt);
    else this.close();
  }

  /** Passes the upstream's end before any byte on to the client. */
  passEndOn(how: "end" | "reset"): void {
    const { loop, idleTimeoutMs } = this.#owner;
    if (idleTimeoutMs > 0) loop.after(this, idleTimeoutMs);
    else loop.cancel(this);
    this.enter("joined");
    if (how === "reset") return this.cut();
    this.#finish(this.down);
    this.up.rouse(); // reports during the wait did not reach the flow
    this.run();
  }

  /** Closes the upstream, which got no byte of the client's; the client stays. */
  detach(): void {
    if (this.upstream === -1) return;
    const { loop, deps } = this.#owner;
    this.up.end(deps);
    this.down.end(deps);
    loop.forget(this.upstream);
    deps.kernel.close(this.upstream);
    this.upstream = -1;
  }

  /** Ends the session in order: each side gets what was sent to it, then the end. */
  close(): void {
    this.#leave(false, false);
  }

  /** Ends the session with a reset on both sides. */
  cut(): void {
    this.#leave(true, true);
  }

  /** An exception from a bug while this session was served ends this session, and no other. */
  onBug(error: unknown): void {
    if (this.phase !== "free") this.cut();
    this.#owner.onBug(error);
  }

  /** Moves the bytes of one direction, and does what follows from the state in which that left it. */
  #pump(flow: Flow): void {
    if (this.phase !== "joined" || !flow.canMove) return;
    const { loop, deps } = this.#owner;
    const stopped = flow.pump(deps, loop.isBulkAlone);
    if (flow.tookStep()) {
      // Only `lastMoved` asks the kernel whether the upstream acknowledges the client's bytes.
      if (flow === this.down || this.#broken !== -1) this.#movedAt = loop.now;
      else this.#sentAt = loop.now;
    }
    switch (stopped) {
      case "dry":
      case "full":
        return; // the kernel reports when there is more to do
      case "again":
        return loop.again(this);
      case "sinkFailed":
        return this.#breakSide(flow.sink, true);
      case "sinkClosed":
        return this.#breakSide(flow.sink, false);
      case "end":
      case "sourceFailed":
        return this.#sourceOver(flow, stopped === "end");
    }
  }

  /** Nothing more comes from the flow's source; what came before has been delivered. */
  #sourceOver(flow: Flow, isEnd: boolean): void {
    const isUnused = flow === this.down && this.isUnused && !this.up.ended;
    if (isUnused) return this.#owner.endedUnused(this, isEnd ? "end" : "reset");
    // After a reset that a send has returned already, a read returns 0, as at an end.
    const isInOrder = isEnd && !(this.#broken === flow.source && this.#wasReset);
    if (isInOrder) return this.#finish(flow);
    this.#wasReset = true;
    flow.end(this.#owner.deps);
    this.#breakSide(flow.source, true);
  }

  /** Passes the end of the flow's source on. */
  #finish(flow: Flow): void {
    const { deps } = this.#owner;
    flow.end(deps);
    // When both directions are over the sockets are closed at once, which passes the end on as well.
    const isLast = this.up.ended && this.down.ended && this.#broken === -1;
    if (!isLast) deps.kernel.shutdownWrite(flow.sink);
  }

  /**
   * Notes that one side is broken: nothing goes to it any more, and what it sent before is to go to the
   * other side, which `run` does. When both sides are broken the session ends.
   */
  #breakSide(fd: number, wasReset: boolean): void {
    if (this.#broken !== -1 && this.#broken !== fd) return this.cut();
    const isNew = this.#broken === -1;
    this.#broken = fd;
    // If its end arrived in order before the reset, the other side has got that end already.
    const from = this.#fromBroken;
    if (wasReset && !from.ended) this.#wasReset = true;
    if (!isNew) return;
    const { loop, deps } = this.#owner;
    const into = from === this.up ? this.down : this.up;
    into.end(deps);
    from.sourceReady(true);
    this.#movedAt = loop.now;
    this.#pollMs = 0;
  }

  /** Reads and drops what the sound side sends to the broken one, so that its sends do not block. */
  #drop(): void {
    if (this.phase !== "joined") return;
    const { loop, deps: { kernel } } = this.#owner;
    const sound = this.#sound;
    for (let read = 0; read < DROPS_MAX; read++) {
      const count = kernel.receive(sound);
      if (count === -EINTR) continue;
      if (count === 0 || count === -EAGAIN) return;
      if (count < 0) return this.cut(); // now both sides are broken
    }
    loop.again(this);
  }

  /** The direction whose source is the broken side. */
  get #fromBroken(): Flow {
    return this.#broken === this.client ? this.up : this.down;
  }

  get #sound(): number {
    return this.#broken === this.client ? this.upstream : this.client;
  }

  /** Ends the session if both directions are over and all is acknowledged; else starts to poll if needed. */
  #settle(): void {
    if (this.phase !== "joined") return;
    const areOver = this.up.ended && this.down.ended;
    if (this.#broken === -1) {
      if (areOver) this.close();
      return;
    }
    const { loop, deps: { kernel } } = this.#owner;
    if (areOver && kernel.unacked(this.#sound) <= 0) return this.#part();
    if (this.#pollMs > 0) return;
    this.#pollMs = POLL_FIRST_MS;
    this.#owed = Infinity;
    loop.after(this, this.#pollMs);
  }

  /** Checks whether the sound side still acknowledges the bytes that it is to get. */
  #poll(now: number): void {
    const { loop, deps: { kernel }, idleTimeoutMs } = this.#owner;
    const owed = kernel.unacked(this.#sound);
    if (owed < this.#owed) this.#movedAt = now;
    this.#owed = owed;
    if (this.up.ended && this.down.ended && owed <= 0) return this.#part();
    const stillMs = idleTimeoutMs > 0 ? Math.min(idleTimeoutMs, NO_ACK_MS) : NO_ACK_MS;
    if (now - this.#movedAt >= stillMs) return this.cut();
    this.#pollMs = Math.min(this.#pollMs * 2, POLL_MAX_MS);
    loop.after(this, this.#pollMs);
  }

  /** The sound side has acknowledged all bytes: the session ends. */
  #part(): void {
    const isClient = this.#broken === this.client;
    if (!isClient && this.#wasReset && !this.down.used) this.#owner.resetUnanswered(this);
    this.#leave(this.#wasReset || isClient, this.#wasReset || !isClient);
  }

  #leave(resetsClient: boolean, resetsUpstream: boolean): void {
    const { loop, deps } = this.#owner;
    this.up.end(deps);
    this.down.end(deps);
    loop.cancel(this);
    this.#shut(this.client, resetsClient);
    if (this.upstream !== -1) this.#shut(this.upstream, resetsUpstream);
    this.client = this.upstream = -1;
    this.enter("free");
    this.#owner.release(this);
  }

  #shut(fd: number, reset: boolean): void {
    const { loop, deps } = this.#owner;
    loop.forget(fd);
    if (reset) deps.kernel.reset(fd);
    else deps.kernel.close(fd);
  }
}
