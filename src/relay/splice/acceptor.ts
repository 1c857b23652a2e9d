/**
 * The port: opened and closed as ordered. Clients are accepted in batches as long as there is room for them;
 * the others stay in the kernel's accept queue. When the system is out of descriptors it pauses and reports
 * that; running sessions are not affected.
 */
import { type Address, formatAddress } from "../../base/address.ts";
import type { Event } from "../../events/events.ts";
import { AcceptPauses } from "../../net/accept.ts";
import { errnoWords } from "../../linux/errno.ts";
import { listenAt } from "../../net/linux/bind.ts";
import { acceptBatch, BACKLOG, type BatchTaker } from "../../net/linux/listener.ts";
import type { PortShare, SockAddr } from "../../linux/kernel.ts";
import type { Loop, Tick, Watcher } from "../../linux/loop.ts";
import { endpointOf, isUnix } from "../../linux/sockaddr.ts";
import { NEVER, type Timed } from "../../linux/timer_wheel.ts";

const RETRY_BIND_MS = 1_000;

export interface AcceptorOwner {
  readonly loop: Loop;
  readonly userTimeoutMs: number;
  readonly reusePort: PortShare;
  readonly socketMode: number | undefined;
  readonly publish: (event: Event) => void;
  /** Whether another client may be accepted. When that becomes true, the owner calls `resume`. */
  readonly hasRoom: () => boolean;
  /** A client was accepted; the owner owns its socket. */
  readonly admit: (client: number) => void;
  /** The system lacks a resource, as `reason` says. The owner then calls `pause`. */
  readonly short: (reason: string) => void;
  /** The port was opened with this descriptor; -1: it was closed. */
  readonly opened: (listener: number) => void;
}

/** A socket address as the rest of the program knows addresses. */
export function addressOf(address: SockAddr): Address {
  const endpoint = endpointOf(address);
  return endpoint.kind === "unix"
    ? endpoint
    : { kind: "tcp", host: endpoint.ip, port: endpoint.port };
}

/** Prints a socket address as the operator would write it. */
export function printSockaddr(address: SockAddr): string {
  return formatAddress(addressOf(address));
}

export class Acceptor implements Watcher, Tick, Timed, BatchTaker {
  queued = false;
  due = NEVER;
  next: Timed | undefined;
  previous: Timed | undefined;
  readonly #owner: AcceptorOwner;
  /** Where to listen; undefined until its name is known. */
  #address: SockAddr | undefined;
  #isWanted = false;
  #listener = -1;
  #opened: SockAddr | undefined;
  readonly #pauses = new AcceptPauses();
  #isPaused = false;
  #isFull = false;

  constructor(owner: AcceptorOwner) {
    this.#owner = owner;
  }

  /** Sets the address to listen on. Applies to the next `open`, or to one that waits for the address. */
  bindTo(address: SockAddr): void {
    this.#address = address;
    if (this.#isWanted) this.open();
  }

  /** Opens the port; if that fails it tries again each second until it is closed. */
  open(): void {
    this.#isWanted = true;
    if (this.#listener !== -1 || this.#address === undefined) return;
    const { loop: { kernel }, userTimeoutMs, reusePort, socketMode } = this.#owner;
    const listener = listenAt(kernel, this.#address, {
      backlog: BACKLOG,
      userTimeoutMs,
      reusePort,
      ...socketMode === undefined ? {} : { socketMode },
    });
    const result = listener < 0 ? listener : this.#owner.loop.watch(listener, this);
    if (result < 0) {
      if (listener >= 0) kernel.close(listener);
      const reason = errnoWords(result);
      const address = printSockaddr(this.#address);
      this.#owner.publish({ type: "port.failed", address, reason, retryInMs: RETRY_BIND_MS });
      this.#owner.loop.after(this, RETRY_BIND_MS);
      return;
    }
    this.#owner.loop.cancel(this);
    this.#listener = listener;
    this.#owner.opened(listener);
    this.#isPaused = this.#isFull = false;
    this.#opened = isUnix(this.#address) ? this.#address : kernel.localAddress(listener);
    this.#owner.publish({ type: "port.opened", address: printSockaddr(this.#opened) });
    this.#owner.loop.again(this);
  }

  /** Continues with an open port that a worker left when it died. Throws if it cannot be watched. */
  adopt(listener: number): void {
    const { loop } = this.#owner;
    const result = loop.watch(listener, this);
    if (result < 0) throw new Error(`cannot watch the port: ${errnoWords(result)}`);
    this.#isWanted = true;
    this.#listener = listener;
    this.#opened = loop.kernel.localAddress(listener);
    loop.again(this);
  }

  close(): void {
    this.#isWanted = false;
    this.#owner.loop.cancel(this);
    // The first worker opens the port; the address to join it is ordered again each time.
    if (this.#owner.reusePort === "join") this.#address = undefined;
    if (this.#listener === -1) return;
    const { loop } = this.#owner;
    loop.forget(this.#listener);
    loop.kernel.close(this.#listener);
    this.#listener = -1;
    this.#owner.opened(-1);
    const endpoint = endpointOf(this.#opened!);
    if (endpoint.kind === "unix") loop.kernel.unlinkSocket(endpoint.path);
    this.#owner.publish({ type: "port.closed", address: printSockaddr(this.#opened!) });
  }

  /** There is room again, or resources were freed. */
  resume(): void {
    if (this.#isPaused && this.#listener !== -1) this.#owner.loop.cancel(this);
    else if (!this.#isFull) return;
    this.#isFull = this.#isPaused = false;
    this.#owner.loop.again(this);
  }

  ready(): void {
    this.run();
  }

  expire(): void {
    this.#isPaused = false;
    if (this.#listener === -1) this.open();
    else this.run();
  }

  run(): void {
    if (this.#listener === -1 || this.#isPaused) return;
    const { loop } = this.#owner;
    const end = acceptBatch(loop.kernel, this.#listener, this);
    if (end === "full") this.#isFull = true;
    else if (end === "more") loop.again(this);
    else if (end !== "empty") this.#owner.short(errnoWords(end));
  }

  get hasRoom(): boolean {
    return this.#owner.hasRoom();
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  take(client: number): void {
    this.#pauses.over();
    this.#owner.admit(client);
  }

  /** Accepts nobody for a while because the system lacks a resource, as `reason` says. */
  pause(reason: string): void {
    if (this.#isPaused || this.#listener === -1) return;
    this.#isPaused = true;
    const { loop } = this.#owner;
    const { pauseMs, isNews } = this.#pauses.next(loop.now);
    loop.after(this, pauseMs);
    if (!isNews) return;
    this.#owner.publish({
      type: "accept.failed",
      address: printSockaddr(this.#opened!),
      reason,
      retryInMs: pauseMs,
    });
  }
}
