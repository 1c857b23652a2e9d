/**
 * The port that clients connect to: opened, closed and opened again, with clients accepted only while
 * there is room for them. The rest wait in the kernel's accept queue. Knows nothing of upstreams.
 *
 * `close` waits until the pending accept has failed: listening again before that fails with "address in use".
 */
import { type Address, formatAddress } from "../../base/address.ts";
import { bind, type BindOptions, type Listen, listenOn } from "../../net/deno/bind.ts";
import type { PassedListener, ReceivedPort } from "../../net/handover.ts";
import { closeDescriptors } from "../../linux/pass_descriptors.ts";
import { leaveListener, type PassedSocket, passedSocket } from "../../net/deno/passed_listener.ts";
import { addressOfDeno } from "../../net/deno/conn.ts";
import { acceptAll } from "../../net/deno/listener.ts";
import type { RelayContext } from "../engine.ts";

const RETRY_BIND_MS = 1_000;
/** The owner of a port. */
export interface PortOwner {
  /** False while no further client should be accepted; asked before each. */
  hasRoom(): boolean;
  /** Passes one accepted client to the owner, which owns its socket. */
  taken(conn: Deno.Conn): void;
}

/** One port. It is closed at first. */
export class PortableListener {
  readonly #bind: Address;
  readonly #owner: PortOwner;
  readonly #context: Pick<RelayContext, "clock" | "publish">;
  readonly #listen: Listen;
  readonly #socketMode: number | undefined;
  /** Where a socket comes from that another process has left, and where it goes if it is lent. */
  readonly #parent: ReceivedPort | undefined;
  /** Taken at once, so that nobody takes it for one that is not needed. */
  #received: PassedListener | undefined;
  #wanted = false;
  #listener: Deno.Listener | undefined;
  #accepting: Promise<void> = Promise.resolve();
  #cancelRetry = () => {};
  #wake = () => {};

  constructor(
    bind: Address,
    owner: PortOwner,
    context: Pick<RelayContext, "clock" | "publish">,
    { listen = listenOn, socketMode, received }: BindOptions = {},
  ) {
    this.#parent = received;
    this.#received = received?.take();
    this.#bind = bind;
    this.#owner = owner;
    this.#context = context;
    this.#listen = listen;
    this.#socketMode = socketMode;
  }

  /** Listens; if that fails, reports it and tries again each second. Resolves after the first attempt. */
  async open(): Promise<void> {
    if (this.#wanted) return;
    this.#wanted = true;
    await this.#try();
  }

  /** Its socket while it is open, where that can be handed over to another process. */
  passed(): PassedSocket | undefined {
    return this.#listener === undefined ? undefined : passedSocket(this.#listener);
  }

  /** Stops listening in this process only: another one has the socket and the clients in the accept queue. */
  leave(): Promise<void> {
    return this.close(leaveListener);
  }

  /**
   * Stops listening. Clients still in the accept queue are reset by the kernel; those of a socket that is lent wait
   * there.
   */
  async close(
    end: (listener: Deno.Listener) => void = (listener) => listener.close(),
  ): Promise<void> {
    this.#wanted = false;
    this.#dropReceived();
    this.#cancelRetry();
    const listener = this.#listener;
    if (listener === undefined) return;
    this.#listener = undefined;
    const address = this.#name(listener);
    end(listener);
    this.#wake();
    await this.#accepting;
    this.#context.publish({ type: "port.closed", address });
  }

  /** Must be called when there may be room again. */
  recheck(): void {
    this.#wake();
  }

  /** Reports that no client is accepted for now because this machine lacks a resource, as `reason` says. */
  stall(reason: string, retryInMs: number): void {
    if (this.#listener !== undefined) this.#acceptFailed(this.#listener, reason, retryInMs);
  }

  async #try(): Promise<void> {
    const listener = await bind(this.#bind, {
      listen: this.#listen,
      socketMode: this.#socketMode,
      ...this.#parent === undefined ? {} : { received: this.#source(this.#parent) },
      warn: (warning) => this.#context.publish({ type: "config.warned", warning }),
    });
    if (!this.#wanted) {
      if (typeof listener !== "string") listener.close();
      return;
    }
    if (typeof listener === "string") {
      this.#context.publish({
        type: "port.failed",
        address: formatAddress(this.#bind),
        reason: listener,
        retryInMs: RETRY_BIND_MS,
      });
      this.#cancelRetry = this.#context.clock.after(RETRY_BIND_MS, () => this.#try());
      return;
    }
    this.#listener = listener;
    this.#context.publish({ type: "port.opened", address: this.#name(listener) });
    this.#accepting = this.#accept(listener);
  }

  #source(parent: ReceivedPort): ReceivedPort {
    return {
      take: () => {
        const early = this.#received;
        this.#received = undefined;
        return early ?? parent.take();
      },
      giveBack: (listener) => parent.giveBack(listener),
    };
  }

  /** A socket that was not needed. */
  #dropReceived(): void {
    const received = this.#received;
    this.#received = undefined;
    if (received === undefined) return;
    if (received.isLent === true) this.#parent!.giveBack(received);
    else closeDescriptors([received.descriptor]);
  }

  #accept(listener: Deno.Listener): Promise<void> {
    const current = () => this.#listener === listener ? listener : undefined;
    return acceptAll<Deno.Conn>({
      listener: current,
      room: () => this.#owner.hasRoom() ? undefined : this.#room(current),
      taken: (conn) => this.#owner.taken(conn),
      pause: (error, pauseMs, isNews) => {
        if (isNews) this.#acceptFailed(listener, error, pauseMs);
        return this.#pause(pauseMs);
      },
      now: () => this.#context.clock.now(),
    });
  }

  /** Resolves when there is room, or the port was closed. */
  async #room(current: () => unknown): Promise<void> {
    while (current() !== undefined && !this.#owner.hasRoom()) await this.#pause();
  }

  #acceptFailed(listener: Deno.Listener, error: unknown, retryInMs: number): void {
    this.#context.publish({
      type: "accept.failed",
      address: this.#name(listener),
      reason: error instanceof Error ? error.message : String(error),
      retryInMs,
    });
  }

  /** Waits for `recheck`, `close` or the time, whichever is first. */
  #pause(ms?: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = ms === undefined
        ? () => {}
        : this.#context.clock.after(ms, () => this.#wake());
      this.#wake = () => {
        cancel();
        this.#wake = () => {};
        resolve();
      };
    });
  }

  /** The listening address, with the port that the system chose. */
  #name(listener: Deno.Listener): string {
    const { addr } = listener;
    return formatAddress(addr.transport === "tcp" ? addressOfDeno(addr) : this.#bind);
  }
}
