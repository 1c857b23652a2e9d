/**
 * Accepts clients on sockets of the kernel, in batches, so that established connections get their share of each
 * tick. `acceptBatch` is used by the splice engine as well, whose port can be closed and opened again.
 */
import { EAGAIN, EINVAL, errnoWords, isShortageErrno } from "../../linux/errno.ts";
import type { Kernel, SockAddr } from "../../linux/kernel.ts";
import type { Tick, Watcher } from "../../linux/loop.ts";
import { endpointOf, isSameHost } from "../../linux/sockaddr.ts";
import { AcceptPauses, BACKLOG } from "../accept.ts";
import type { Acceptee, AcceptOptions } from "../transport.ts";
import { LinuxConn } from "./conn.ts";
import type { EmbeddedLoop } from "./embedded_loop.ts";

/** Clients accepted in one tick of the loop. */
const BATCH_MAX = 64;

/** Receives the clients of a batch. */
export interface BatchTaker {
  /** True while another client may be accepted; read once before each, so that it may acquire a permit for it. */
  readonly hasRoom: boolean;
  /** True if no other client should be accepted in this tick; read after each. */
  readonly isPaused: boolean;
  /** Takes over the socket of one client. */
  take(client: number): void;
  /** `hasRoom` was true, and no client was waiting. */
  missed?(): void;
}

/**
 * How a batch ended: the queue is empty (or the taker is paused), the taker is full, or more clients may be
 * waiting. A negated error number stands for a shortage.
 */
export type BatchEnd = "empty" | "full" | "more" | number;

/** Accepts up to 64 clients that wait at `listener`. Never waits. */
export function acceptBatch(kernel: Kernel, listener: number, taker: BatchTaker): BatchEnd {
  for (let taken = 0; taken < BATCH_MAX; taken++) {
    if (!taker.hasRoom) return "full";
    const client = kernel.accept(listener);
    if (client < 0) {
      taker.missed?.();
      // There is no client, or the listener is being closed.
      if (client === -EAGAIN || client === -EINVAL) return "empty";
      if (isShortageErrno(client)) return client;
      // Any other error is one of that connection, which Linux reports here (accept(2)).
      continue;
    }
    taker.take(client);
    if (taker.isPaused) return "empty";
  }
  return "more";
}

/** Prints the addresses of clients; often one client makes many connections, one after another. */
class PeerNames {
  #address: SockAddr = new Uint8Array(0);
  #name = "unix";

  /** The IP address of a client, or `unix`. */
  nameOf(address: SockAddr): string {
    if (isSameHost(address, this.#address)) return this.#name;
    const peer = endpointOf(address);
    this.#address = address;
    return this.#name = peer.kind === "ip" ? peer.ip : "unix";
  }
}

/** How a thread shares a listening socket with others. */
export interface Sharing {
  /** True if another thread should take the next client; asked again after `yieldMs` milliseconds. */
  yields(now: number): boolean;
  readonly yieldMs: number;
}

/** The accept loop of one listening socket of the kernel. */
export class LinuxAcceptor implements Watcher, Tick, BatchTaker {
  queued = false;
  readonly #host: EmbeddedLoop;
  readonly #listener: number;
  readonly #acceptee: Acceptee;
  readonly #options: AcceptOptions;
  readonly #end = Promise.withResolvers<void>();
  #isOver = false;
  /** Waits for room or for the end of a shortage; clients stay in the kernel's queue meanwhile. */
  #isWaiting = false;
  readonly #pauses = new AcceptPauses();
  readonly #peers = new PeerNames();
  readonly #onUnwatchable = (result: number) => this.#pause(result);
  #cancel: () => void = () => {};

  /** Set if other threads accept from the same socket. */
  readonly #sharing: Sharing | undefined;
  #isYielding = false;

  /**
   * The caller registers this object as the watcher of `listener`, and owns that if it shares it with other
   * threads (`sharing`); else this object does.
   */
  constructor(
    host: EmbeddedLoop,
    listener: number,
    acceptee: Acceptee,
    options: AcceptOptions,
    sharing?: Sharing,
  ) {
    this.#sharing = sharing;
    this.#host = host;
    this.#listener = listener;
    this.#acceptee = acceptee;
    this.#options = options;
    // It rejects only because of a bug, and must not count as unhandled then.
    this.#end.promise.catch(() => {});
  }

  /** Resolves after `close`; rejects for a bug in the accept loop. */
  get finished(): Promise<void> {
    return this.#end.promise;
  }

  /** True after `close` or `leave`. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /**
   * Lets no more clients into the kernel's queue; call it before `takeQueue` where the port closes for good. Else a
   * client that comes between the last one accepted and the close would be reset, as it is where the kernel cannot do
   * this.
   */
  closeQueue(): void {
    // The number of a descriptor that was closed may belong to another socket by now.
    if (!this.#isOver) this.#host.loop.kernel.ignoreClients?.(this.#listener);
  }

  /** Accepts all clients in the kernel's queue, even beyond the limit. */
  takeQueue(): void {
    for (let taken = 0; taken < BACKLOG && !this.#isOver; taken++) {
      const client = this.#host.loop.kernel.accept(this.#listener);
      if (client === -EAGAIN || isShortageErrno(client)) return;
      if (client >= 0) this.take(client);
    }
  }

  /**
   * Accepts the clients in the kernel's queue as far as the limit allows, after `leave`: the others are left to those
   * who still listen. If the kernel has told nobody but this thread of a client, that one would wait for the next client
   * to come.
   */
  takeWithinLimit(): void {
    for (let end: BatchEnd = "more"; end === "more";) {
      end = acceptBatch(this.#host.loop.kernel, this.#listener, this);
    }
  }

  /** Returns false if it was closed before. */
  close(): boolean {
    const isOpen = this.leave();
    if (isOpen && this.#sharing === undefined) this.#host.loop.kernel.close(this.#listener);
    return isOpen;
  }

  /** Accepts no more; the listening socket stays open. Returns false if it was closed before. */
  leave(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    this.#cancel();
    this.#host.loop.unwatch(this.#listener);
    this.#end.resolve();
    return true;
  }

  /** Looks for clients that another thread may have left in the queue. */
  look(): void {
    if (!this.#isOver) this.#host.again(this);
  }

  ready(): void {
    this.run();
  }

  run(): void {
    if (this.#isOver || this.#isWaiting) return;
    const end = acceptBatch(this.#host.loop.kernel, this.#listener, this);
    if (end === "full" && this.#isYielding) this.#yield(this.#sharing!.yieldMs);
    else if (end === "full") void this.#waitForRoom();
    else if (end === "more") this.#host.again(this);
    else if (end !== "empty") this.#pause(end);
  }

  get isPaused(): boolean {
    return this.#isWaiting;
  }

  get hasRoom(): boolean {
    this.#isYielding = this.#sharing?.yields(this.#options.clock.now()) ?? false;
    return !this.#isYielding && this.#acceptee.hasRoom;
  }

  take(client: number): void {
    const { loop } = this.#host;
    const peer = loop.kernel.acceptedAddress();
    const conn = new LinuxConn(this.#host, client, this.#onUnwatchable);
    this.#pauses.over();
    this.#acceptee.serve(conn, this.#peers.nameOf(peer)).catch(this.#end.reject);
  }

  /** Leaves the client to other threads for `ms` milliseconds. */
  #yield(ms: number): void {
    this.#cancel();
    this.#cancel = this.#options.clock.after(ms, () => this.look());
  }

  async #waitForRoom(): Promise<void> {
    this.#isWaiting = true;
    await this.#acceptee.room();
    this.#goOn();
  }

  #pause(result: number): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    const { clock, onAcceptFailed, onShortage } = this.#options;
    const { pauseMs, isNews } = this.#pauses.next(clock.now());
    if (isNews) onAcceptFailed?.(errnoWords(result), pauseMs);
    onShortage?.();
    this.#cancel = clock.after(pauseMs, () => this.#goOn());
  }

  #goOn(): void {
    this.#isWaiting = false;
    if (!this.#isOver) this.#host.again(this);
  }
}
