/**
 * Accepts clients in batches as long as there is room for them; the others stay in the kernel's accept queue.
 * When the system is out of descriptors it pauses and reports that; running sessions are not affected. The
 * listening socket is the main thread's, and all threads accept from its queue.
 */
import { formatAddress } from "../../base/address.ts";
import type { Event } from "../../events/events.ts";
import { AcceptPauses } from "../../net/accept.ts";
import { errnoWords } from "../../linux/errno.ts";
import { YIELD_MS } from "../../threads/fair_share.ts";
import { acceptBatch, type BatchEnd, type BatchTaker } from "../../net/linux/listener.ts";
import type { SockAddr } from "../../linux/kernel.ts";
import type { Loop, Tick, Watcher } from "../../linux/loop.ts";
import { NEVER, type Timed } from "../../linux/timer_wheel.ts";
import { addressOfSockaddr } from "../../linux/sockaddr.ts";

/** What the acceptor asks and tells its owner. */
export interface AcceptorOwner {
  readonly loop: Loop;
  readonly publish: (event: Event) => void;
  /** Takes a permit for one more client; false if none is free. When one is again, the owner calls `resume`. */
  readonly acquire: () => boolean;
  /** True if another thread should take the next client; the owner is asked again soon. */
  readonly yields: () => boolean;
  /** No client was there to use the permit. */
  readonly giveBack: () => void;
  /** A client was accepted, which holds the permit; the owner owns its socket. */
  readonly admit: (client: number) => void;
  /** The system lacks a resource, as `reason` says. The owner then calls `pause`. */
  readonly short: (reason: string) => void;
}

/** Prints a socket address in the form of the options. */
export function printSockaddr(address: SockAddr): string {
  return formatAddress(addressOfSockaddr(address));
}

/** The acceptor of one service in one thread. */
export class SpliceAcceptor implements Watcher, Tick, Timed, BatchTaker {
  queued = false;
  due = NEVER;
  next: Timed | undefined;
  previous: Timed | undefined;
  readonly #owner: AcceptorOwner;
  #listener = -1;
  readonly #pauses = new AcceptPauses();
  #isPaused = false;
  #isFull = false;
  #isYielding = false;

  constructor(owner: AcceptorOwner) {
    this.#owner = owner;
  }

  /** Accepts from this listening socket. Throws if it cannot be watched. */
  open(listener: number): void {
    const { loop } = this.#owner;
    const result = loop.watchShared(listener, this);
    if (result < 0) throw new Error(`cannot watch the port: ${errnoWords(result)}`);
    this.#listener = listener;
    this.#isPaused = this.#isFull = false;
    loop.again(this);
  }

  /** Forgets the listening socket, which stays open. */
  close(): void {
    const { loop } = this.#owner;
    loop.cancel(this);
    if (this.#listener !== -1) loop.unwatch(this.#listener);
    this.#listener = -1;
  }

  /**
   * As `close`, where another process accepts. The clients that wait now are accepted first, within the limit: if the
   * kernel has told nobody but this thread of one, it would wait for the next client to come.
   */
  leave(): void {
    const listener = this.#listener;
    this.close();
    if (listener === -1) return;
    for (let end: BatchEnd = "more"; end === "more";) {
      end = acceptBatch(this.#owner.loop.kernel, listener, this);
    }
  }

  /** There is room again, or resources were freed. */
  resume(): void {
    if (this.#listener === -1) return;
    if (this.#isPaused) this.#owner.loop.cancel(this);
    else if (!this.#isFull) return;
    this.look();
  }

  /** Looks for clients, even if it is paused or was full. */
  look(): void {
    this.#isFull = this.#isPaused = false;
    this.#owner.loop.again(this);
  }

  ready(): void {
    this.run();
  }

  expire(): void {
    this.#isPaused = false;
    this.run();
  }

  run(): void {
    if (this.#listener === -1 || this.#isPaused) return;
    const { loop } = this.#owner;
    this.#isYielding = false;
    const end = acceptBatch(loop.kernel, this.#listener, this);
    if (end === "full" && this.#isYielding) loop.after(this, YIELD_MS);
    else if (end === "full") this.#isFull = true;
    else if (end === "more") loop.again(this);
    else if (end !== "empty") this.#owner.short(errnoWords(end));
  }

  get hasRoom(): boolean {
    this.#isYielding = this.#owner.yields();
    return !this.#isYielding && this.#owner.acquire();
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  take(client: number): void {
    this.#pauses.over();
    this.#owner.admit(client);
  }

  missed(): void {
    this.#owner.giveBack();
  }

  /** Accepts no client for a while because the system lacks a resource, as `reason` says. */
  pause(reason: string): void {
    if (this.#isPaused || this.#listener === -1) return;
    this.#isPaused = true;
    const { loop } = this.#owner;
    const { pauseMs, isNews } = this.#pauses.next(loop.now);
    loop.after(this, pauseMs);
    if (!isNews) return;
    this.#owner.publish({
      type: "accept.failed",
      address: printSockaddr(loop.kernel.localAddress(this.#listener)),
      reason,
      retryInMs: pauseMs,
    });
  }
}
