/**
 * Hands the sessions of one thread over to another process, a few at a time. A session stands still from the moment
 * at which its parcel is made until the answer: then it either goes on there, and its sockets are closed here without
 * ending the connections, or it goes on here as before. So no byte is lost, doubled, or moved by both.
 *
 * Sessions of which one side is broken stay, because only this process knows what it still has to deliver, and so do
 * those that a drain is about to cut.
 */
import type { Loop } from "../../linux/loop.ts";
import type { Parcel } from "../../net/handover.ts";
import type { ShardReport } from "../../threads/messages.ts";
import type { FlowDeps } from "./flow.ts";
import { parcelOf, type PassedJoin, type PassedSession } from "./parcel.ts";
import type { SpliceSession } from "./session.ts";

/** A thread's message to the main thread: this may be handed over, under a number for the answer. */
export interface OfferedParcel {
  readonly id: number;
  readonly parcel: Parcel;
}

/** Messages of the main thread to the shard in a thread. */
export type ToSpliceShard =
  | { readonly is: "answered"; readonly id: number; readonly isTaken: boolean }
  /** Another process has handed over a session. */
  | { readonly is: "received"; readonly session: PassedSession };

/** Makes a session that has only its client what it was in another process; its sockets are to be watched. */
export function restore(session: SpliceSession, joined: PassedJoin, deps: FlowDeps): void {
  const { upstream, upstreamName, epoch, up, down } = joined;
  session.upstream = upstream;
  session.upstreamName = upstreamName;
  session.epoch = epoch;
  session.up.restore(session.client, upstream, up, deps);
  session.down.restore(upstream, session.client, down, deps);
  session.enter("joined");
}

/** Parcels under way at one time: enough that the other process never waits, and little memory. */
const UNDER_WAY_MAX = 16;

/** What passing needs from the relay. */
export interface PassingOwner {
  readonly loop: Loop;
  readonly deps: FlowDeps;
  readonly report: (report: ShardReport) => void;
  /** False: the session must end in this process. */
  mayPass(session: SpliceSession): boolean;
  /** The relay has cut all sessions already: this one is to follow. */
  cutLate(session: SpliceSession): void;
  /** A client that has no upstream, and that the other process did not take: it gets one here. */
  dial(session: SpliceSession): void;
}

/** The sessions that are to be handed over. */
export class Passing {
  readonly #owner: PassingOwner;
  readonly #queue: SpliceSession[] = [];
  readonly #underWay = new Map<number, { session: SpliceSession; movedAt: number }>();
  #lastId = 0;
  /** All sessions must end: those that are not taken are cut. */
  #isOver = false;

  constructor(owner: PassingOwner) {
    this.#owner = owner;
  }

  /** Hands over these sessions, if they are still there when it is their turn. */
  offer(sessions: readonly SpliceSession[]): void {
    for (const session of sessions) this.#queue.push(session);
    this.#next();
  }

  /** Offers no more, and cuts those under way that are not taken. Returns how many are under way. */
  end(): number {
    this.#isOver = true;
    this.#queue.length = 0;
    return this.#underWay.size;
  }

  /** Another process has taken the parcel over, or has not. */
  answered(id: number, isTaken: boolean): void {
    const found = this.#underWay.get(id);
    if (found === undefined) return;
    this.#underWay.delete(id);
    const { session, movedAt } = found;
    // The other process has descriptors of its own, so closing ours ends nothing.
    if (isTaken) session.close();
    else this.#goOn(session, movedAt);
    this.#next();
  }

  #next(): void {
    while (this.#underWay.size < UNDER_WAY_MAX) {
      const session = this.#queue.shift();
      if (session === undefined) return;
      // Records are used again: what is free now has ended, and a session that began since is passed as well.
      if (session.phase === "free" || session.phase === "passing") continue;
      if (session.isSound && this.#owner.mayPass(session)) this.#pass(session);
    }
  }

  #pass(session: SpliceSession): void {
    const { loop, report } = this.#owner;
    const isJoined = session.phase === "joined";
    if (!isJoined) session.detach();
    const movedAt = isJoined ? session.lastMoved : loop.now;
    const { client, upstream, addresses, upstreamName, epoch, up, down } = session;
    const idleMs = Math.max(0, Math.round(loop.now - movedAt));
    const joined = isJoined
      ? { upstream, upstreamName, epoch, idleMs, up: up.state, down: down.state }
      : undefined;
    session.enter("passing");
    loop.cancel(session);
    loop.unwatch(client);
    if (isJoined) loop.unwatch(upstream);
    const id = ++this.#lastId;
    this.#underWay.set(id, { session, movedAt });
    const parcel = parcelOf({ client, addresses, joined });
    report({ is: "message", what: { id, parcel } satisfies OfferedParcel });
  }

  #goOn(session: SpliceSession, movedAt: number): void {
    const { loop } = this.#owner;
    if (this.#isOver) return this.#owner.cutLate(session);
    const { client, upstream } = session;
    session.clientFlags = 0;
    if (loop.watch(client, session) < 0) return session.cut();
    if (upstream === -1) return this.#owner.dial(session);
    if (loop.watch(upstream, session) < 0) return session.cut();
    session.enter("joined");
    session.proceed(movedAt);
  }
}
