/**
 * One client and the upstream it is joined to: two flows, half-closes passed on as such and failures as
 * resets. Before the join it is the client's place in the waiting room, which `dialer.ts` runs.
 *
 * While no byte has passed either way, an upstream that ends does not end the session: that is for the
 * dialer to judge, for the client may be better off elsewhere. Hence the upstream's side is always looked
 * at before the client's bytes are touched. Records are used again, so nothing keeps one past its end.
 */
import { FAILED, HUNG_UP, PEER_ENDED, READABLE, URGENT, WRITABLE } from "../../linux/kernel.ts";
import type { Loop, Turn, Watcher } from "../../linux/loop.ts";
import { NEVER, type Timed } from "../../linux/wheel.ts";
import { COUNT } from "./counters.ts";
import { Flow, type Plant } from "./flow.ts";
import type { Wait } from "./wait.ts";

/** `free`: in the pool. `waiting`: no attempt under way. `connecting`: one is. `joined`: bytes may flow. */
export type Phase = "free" | "waiting" | "connecting" | "joined";

/** What a session asks of those around it. */
export interface Around {
  readonly loop: Loop;
  readonly plant: Plant;
  readonly idleTimeoutMs: number;
  /** The longest that a client waits for an upstream. */
  readonly waitMaxMs: number;
  /** Something changed before the join. */
  early(session: Session, fd: number, flags: number): void;
  /** A deadline before the join. */
  expired(session: Session, now: number): void;
  /** The upstream ended or was reset before any byte; the client is still there. */
  endedUnused(session: Session, how: "end" | "reset"): void;
  /** Both sockets are closed: the record may be used again. */
  release(session: Session): void;
}

const COMES = READABLE | URGENT | PEER_ENDED | HUNG_UP | FAILED;
const LAST = URGENT | PEER_ENDED | HUNG_UP | FAILED;
const GOES = WRITABLE | HUNG_UP | FAILED;

export class Session implements Watcher, Turn, Timed {
  phase: Phase = "free";
  /** Place in the plane's list. */
  index = -1;
  client = -1;
  upstream = -1;
  readonly up = new Flow(COUNT.bytesUp);
  readonly down = new Flow(COUNT.bytesDown);
  /** The upstream it is or was joined to, or tries to reach, and under which decision. */
  upstreamName = "";
  epoch = 0;
  lastMoved = 0;
  /** What the kernel has said about the client so far. */
  clientFlags = 0;
  /** There while it is `waiting` or `connecting`, and only then. */
  wait: Wait | undefined;
  #broken = -1;

  queued = false;
  due = NEVER;
  next: Timed | undefined;
  previous: Timed | undefined;

  readonly #around: Around;

  constructor(around: Around) {
    this.#around = around;
  }

  /** Begins with a client that was just accepted; owns its socket from here on. It is not dialed yet. */
  begin(client: number): void {
    this.client = client;
    this.clientFlags = 0;
    this.#broken = -1;
  }

  /** Changes the phase, and the counters that follow from it. */
  enter(phase: Phase): void {
    const { counters } = this.#around.plant;
    if (this.phase === "waiting") counters[COUNT.held]!--;
    if (this.phase === "joined") counters[COUNT.active]!--;
    if (phase === "waiting") counters[COUNT.held]!++;
    if (phase === "joined") counters[COUNT.active]!++;
    this.phase = phase;
    this.#keepWait(phase === "waiting" || phase === "connecting");
  }

  #keepWait(waits: boolean): void {
    const { loop, plant: { pools }, waitMaxMs } = this.#around;
    if (waits === (this.wait !== undefined)) return;
    if (waits) {
      this.wait = pools.takeWait();
      this.wait.begin(loop.now + waitMaxMs);
    } else {
      pools.giveWait(this.wait!);
      this.wait = undefined;
    }
  }

  /** True while the client could still be given to another upstream without its noticing. */
  get isUnused(): boolean {
    return !this.up.used && !this.down.used;
  }

  /** Joins the client to the connected `this.upstream`; `header` goes to it first. */
  join(upstreamFlags: number, header: Uint8Array | undefined): void {
    const { loop, plant, idleTimeoutMs } = this.#around;
    this.lastMoved = loop.now;
    const { client, upstream, clientFlags } = this;
    this.up.begin(client, upstream, (clientFlags & COMES) !== 0, (clientFlags & LAST) !== 0);
    this.down.begin(upstream, client, (upstreamFlags & COMES) !== 0, (upstreamFlags & LAST) !== 0);
    if (header !== undefined) this.up.prepend(header, plant);
    if (idleTimeoutMs > 0) loop.after(this, idleTimeoutMs);
    else loop.cancel(this);
    this.run();
  }

  ready(fd: number, flags: number): void {
    if (fd === this.client) this.clientFlags |= flags;
    if (this.phase !== "joined") return this.#around.early(this, fd, flags);
    const isClient = fd === this.client;
    const from = isClient ? this.up : this.down;
    const into = isClient ? this.down : this.up;
    if ((flags & COMES) !== 0) from.sourceReady((flags & LAST) !== 0);
    if ((flags & GOES) !== 0) into.sinkReady();
    this.run();
    // The error may concern a direction in which nothing is left to do, where no call would meet it.
    if ((flags & FAILED) !== 0 && this.#owns(fd)) this.#fail(fd);
  }

  /** Moves what can be moved. Harmless at any time. */
  run(): void {
    if (this.phase === "joined") this.#pump(this.down);
    if (this.phase === "joined") this.#pump(this.up);
    if (this.phase === "joined") this.#settle();
  }

  expire(now: number): void {
    if (this.phase !== "joined") return this.#around.expired(this, now);
    const idleAt = this.lastMoved + this.#around.idleTimeoutMs;
    if (now < idleAt) this.#around.loop.at(this, idleAt);
    else this.close();
  }

  /** The upstream's early end is what the client shall get. */
  passEndOn(how: "end" | "reset"): void {
    const { loop, idleTimeoutMs } = this.#around;
    if (idleTimeoutMs > 0) loop.after(this, idleTimeoutMs);
    else loop.cancel(this);
    this.enter("joined");
    if (how === "reset") return this.cut();
    this.#finish(this.down);
    this.up.rouse(); // what the kernel said during the wait concerned the wait
    this.run();
  }

  /** Lets go of the upstream, which got not a byte of the client's; the client stays. */
  detach(): void {
    if (this.upstream === -1) return;
    const { loop, plant } = this.#around;
    this.up.end(plant);
    this.down.end(plant);
    loop.forget(this.upstream);
    plant.kernel.close(this.upstream);
    this.upstream = -1;
    if (this.wait !== undefined) this.wait.unusedEnd = undefined;
  }

  /** Ends it in order: each side gets what was sent, then the end. */
  close(): void {
    this.#leave(false);
  }

  /** Ends it with a reset on both sides. */
  cut(): void {
    this.#leave(true);
  }

  #pump(flow: Flow): void {
    if (!flow.canMove) return;
    const { loop, plant } = this.#around;
    const stopped = flow.pump(plant);
    if (flow.tookStep()) this.lastMoved = loop.now;
    if (stopped === "dry" || stopped === "full") return;
    if (stopped === "again") return loop.again(this);
    if (stopped === "sinkFailed") return this.#fail(flow.sink);
    const unused = flow === this.down && this.isUnused && !this.up.ended;
    if (unused) return this.#around.endedUnused(this, stopped === "end" ? "end" : "reset");
    if (stopped === "end" && this.#broken !== flow.source) return this.#finish(flow);
    flow.end(plant);
    this.#fail(flow.source);
  }

  /** Passes the end of the flow's source on. */
  #finish(flow: Flow): void {
    const { plant } = this.#around;
    flow.end(plant);
    // When both directions are over the sockets are closed at once, and closing tells it as well.
    if (!this.up.ended || !this.down.ended) plant.kernel.shutdownWrite(flow.sink);
  }

  /** One side is broken: nothing goes to it any more; what it sent before goes to the other. */
  #fail(fd: number): void {
    if (this.#broken === -1) this.#broken = fd;
    else if (this.#broken !== fd) return this.cut();
    const [from, into] = fd === this.client ? [this.up, this.down] : [this.down, this.up];
    into.end(this.#around.plant);
    from.sourceReady(true);
    this.#pump(from);
    if (this.phase === "joined") this.#settle();
  }

  #settle(): void {
    // An upstream that does not take the last bytes of a client that is gone need not have them.
    const hopeless = this.#broken === this.client && !this.up.canMove;
    if (hopeless) this.up.end(this.#around.plant);
    if (!this.up.ended || !this.down.ended) return;
    if (this.#broken === -1) this.close();
    else this.cut();
  }

  #owns(fd: number): boolean {
    return this.phase === "joined" && (fd === this.client || fd === this.upstream);
  }

  #leave(reset: boolean): void {
    const { loop, plant } = this.#around;
    this.up.end(plant);
    this.down.end(plant);
    loop.cancel(this);
    this.#shut(this.client, reset);
    if (this.upstream !== -1) this.#shut(this.upstream, reset);
    this.client = this.upstream = -1;
    this.enter("free");
    this.#around.release(this);
  }

  #shut(fd: number, reset: boolean): void {
    const { loop, plant } = this.#around;
    loop.forget(fd);
    if (reset) plant.kernel.reset(fd);
    else plant.kernel.close(fd);
  }
}
