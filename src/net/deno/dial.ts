/**
 * Connects, with a deadline, and never leaks the connection that arrives too late. Everything that
 * dials out of the process by `Deno.connect` comes through here.
 *
 * The addresses of a name are tried one after another, the next one as soon as one fails or has not
 * answered for a moment (Happy Eyeballs, RFC 8305); the first that answers is it. A look-up of a name, and
 * a connect to a unix socket, cannot be called off: they end by themselves behind our back, and what they
 * bring is closed.
 */
import type { Address } from "../../base/address.ts";
import type { Clock } from "../../base/clock.ts";
import { endAfter } from "../../base/deadline.ts";
import { connectFault, Fault, FAULTS } from "../../base/fault.ts";
import { isIp } from "../../base/ip.ts";
import { type Resolver, resolver as ofProcess } from "../resolve.ts";

/** How long one address has before the next one is tried beside it (RFC 8305 section 5). */
export const NEXT_ADDRESS_MS = 250;
/** Addresses of one name that are tried. */
export const ADDRESSES_MAX = 8;

/** What may end an attempt to connect before its time. */
export interface DialLimits {
  readonly clock: Clock;
  /** For everything, the look-up of the name included. */
  readonly timeoutMs: number;
  /** Calls the attempt off. */
  readonly signal: AbortSignal;
  /** Finds the addresses of names; the process's own where it is missing. */
  readonly resolver?: Resolver | undefined;
  /** Called once, when an address is known and the first connect begins. Must not throw. */
  readonly onConnecting?: (() => void) | undefined;
}

/**
 * Connects to `address`. Resolves with the connection, which is then the caller's; with a `Fault`,
 * `connectTimeout` when time was up, `nameSilent` when it was the name service that said nothing; with
 * undefined when the signal came first. Never rejects.
 */
export function dial(address: Address, limits: DialLimits): Promise<Deno.Conn | Fault | undefined> {
  if (limits.signal.aborted) return Promise.resolve(undefined);
  return new Promise((resolve) => new Attempt(address, limits, resolve).begin());
}

type Outcome = Deno.Conn | Fault | undefined;

class Attempt {
  readonly #address: Address;
  readonly #limits: DialLimits;
  readonly #resolver: Resolver;
  readonly #resolve: (outcome: Outcome) => void;
  readonly #sockets = new AbortController();
  readonly #cancelDeadline: () => void;
  #cancelNext: () => void = () => {};
  #isOver = false;
  /** Undefined while the name is being looked up. */
  #left: readonly string[] | undefined;
  #running = 0;
  /** What the attempt ends with if no address answers. */
  #fault: Fault | undefined;

  constructor(address: Address, limits: DialLimits, resolve: (outcome: Outcome) => void) {
    this.#address = address;
    this.#limits = limits;
    this.#resolver = limits.resolver ?? ofProcess;
    this.#resolve = resolve;
    const { signal, timeoutMs, clock } = limits;
    this.#cancelDeadline = endAfter(signal, timeoutMs, clock, (cause) => {
      if (cause === "late") this.#timedOut();
      else this.#end(undefined);
    });
  }

  begin(): void {
    const address = this.#address;
    if (address.kind === "unix") {
      this.#left = [];
      this.#limits.onConnecting?.();
      return void this.#follow(Deno.connect({ transport: "unix", path: address.path }));
    }
    if (isIp(address.host)) {
      this.#left = [];
      this.#limits.onConnecting?.();
      return void this.#follow(this.#open(address.host, address.port));
    }
    this.#resolver.resolve(address.host).then((found) => {
      if (this.#isOver) return;
      if (found instanceof Fault) return this.#end(found);
      this.#left = found.slice(0, ADDRESSES_MAX);
      this.#limits.onConnecting?.();
      this.#next(address);
    });
  }

  /** Tries the next address, and the one after it when this one takes its time. */
  #next(address: Address & { readonly kind: "tcp" }): void {
    this.#cancelNext();
    const [ip, ...left] = this.#left!;
    if (this.#isOver || ip === undefined) return;
    this.#left = left;
    if (left.length > 0) {
      this.#cancelNext = this.#limits.clock.after(NEXT_ADDRESS_MS, () => this.#next(address));
    }
    this.#follow(this.#open(ip, address.port), ip).then(() => this.#next(address));
  }

  #open(hostname: string, port: number): Promise<Deno.TcpConn> {
    const { signal } = this.#sockets;
    // `Deno.connect` asks this once more when it already has the connection, and would throw it away
    // unclosed. Without an answer it hands the connection over and we close it.
    signal.throwIfAborted = () => {};
    return Deno.connect({ hostname, port, autoSelectFamily: false, signal });
  }

  /** Resolves when this connection has come, or has failed and others are to be tried. */
  async #follow(opening: Promise<Deno.Conn>, ip?: string): Promise<void> {
    this.#running++;
    const outcome = await opening.then(refuseSelf, (error) => connectFault(error, false));
    this.#running--;
    if (this.#isOver) {
      // An attempt that we ended fails with our own interruption, which is no news.
      if (!(outcome instanceof Fault)) outcome.close();
      return;
    }
    this.#note(outcome, ip);
    if (!(outcome instanceof Fault)) return this.#end(outcome);
    // The peer's own no says more than a missing answer.
    if (this.#fault === undefined || !FAULTS[this.#fault.fault].hard) this.#fault = outcome;
    if (this.#running === 0 && this.#left!.length === 0) this.#end(this.#fault);
  }

  #note(outcome: Deno.Conn | Fault, ip: string | undefined): void {
    const { kind } = this.#address;
    if (kind === "unix" || ip === undefined) return;
    const { host } = this.#address;
    if (!(outcome instanceof Fault)) this.#resolver.connected(host, ip);
    else if (FAULTS[outcome.fault].side === "upstream") this.#resolver.failed(host, ip);
  }

  #timedOut(): void {
    this.#end(
      this.#left === undefined ? new Fault("nameSilent") : connectFault(undefined, true),
    );
  }

  #end(outcome: Outcome): void {
    this.#isOver = true;
    this.#cancelDeadline();
    this.#cancelNext();
    this.#sockets.abort();
    this.#resolve(outcome);
  }
}

/**
 * A connection to a port of this machine that nobody listens on may meet itself: the kernel picks the same
 * port for our end, and both ends agree (RFC 9293 section 3.5, simultaneous open). That is a closed port.
 */
function refuseSelf(conn: Deno.Conn): Deno.Conn | Fault {
  const { localAddr: local, remoteAddr: remote } = conn;
  if (local.transport !== "tcp" || remote.transport !== "tcp") return conn;
  if (local.port !== remote.port || local.hostname !== remote.hostname) return conn;
  conn.close();
  return new Fault("connectRefused", "nobody listens there");
}
