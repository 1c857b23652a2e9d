/**
 * Connects within a deadline by `Deno.connect`, and closes a connection that arrives too late.
 *
 * The addresses of a name are tried one after another: the next one starts as soon as one fails or has not
 * answered for 250 ms, and the first that answers wins (Happy Eyeballs, RFC 8305). A look-up of a name, and
 * a connect to a unix socket, cannot be cancelled: they end later, and a connection that they bring is closed.
 */
import type { Address } from "../../base/address.ts";
import type { Clock } from "../../base/clock.ts";
import { endAfter } from "../../base/deadline.ts";
import { connectFault, Fault, FAULTS } from "../../base/fault.ts";
import { isIp } from "../../base/ip.ts";
import { type Resolver, resolver as ofProcess } from "../resolve.ts";

/** How long one address has before the next one is tried as well, in milliseconds (RFC 8305 section 5). */
export const NEXT_ADDRESS_MS = 250;
/** How many addresses of one name are tried. */
export const ADDRESSES_MAX = 8;

/** What limits an attempt to connect. */
export interface DialLimits {
  readonly clock: Clock;
  /** For the whole attempt, including the look-up of the name, in milliseconds. */
  readonly timeoutMs: number;
  /** Cancels the attempt. */
  readonly signal: AbortSignal;
  /** Finds the addresses of names; the resolver of the process if missing. */
  readonly resolver?: Resolver | undefined;
  /** Called once, when an address is known and the first connect begins. Must not throw. */
  readonly onConnecting?: (() => void) | undefined;
}

/**
 * Connects to `address`. Resolves with the connection, which the caller then owns; with a `Fault` if that
 * failed (`connectTimeout` if the deadline passed, `nameSilent` if it passed during the look-up); with
 * undefined if the signal was aborted. Never rejects.
 */
export function dial(address: Address, limits: DialLimits): Promise<Deno.Conn | Fault | undefined> {
  if (limits.signal.aborted) return Promise.resolve(undefined);
  return new Promise((resolve) => new DenoDialAttempt(address, limits, resolve).begin());
}

type DialOutcome = Deno.Conn | Fault | undefined;

class DenoDialAttempt {
  readonly #address: Address;
  readonly #limits: DialLimits;
  readonly #resolver: Resolver;
  readonly #resolve: (outcome: DialOutcome) => void;
  readonly #sockets = new AbortController();
  readonly #cancelDeadline: () => void;
  #cancelNext: () => void = () => {};
  #isOver = false;
  /** Undefined while the name is being looked up. */
  #left: readonly string[] | undefined;
  #running = 0;
  /** The result if no address answers. */
  #fault: Fault | undefined;

  constructor(address: Address, limits: DialLimits, resolve: (outcome: DialOutcome) => void) {
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

  /** Tries the next address, and later the one after it if this one has not answered. */
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
    // `Deno.connect` calls this again when it already has the connection, and if it throws, the connection
    // leaks. This way the connection is returned, and we close it.
    signal.throwIfAborted = () => {};
    return Deno.connect({ hostname, port, autoSelectFamily: false, signal });
  }

  /** Resolves when this connection was made or has failed. */
  async #follow(opening: Promise<Deno.Conn>, ip?: string): Promise<void> {
    this.#running++;
    const outcome = await opening.then(refuseSelfConnect, (error) => connectFault(error, false));
    this.#running--;
    if (this.#isOver) {
      // A connection attempt that we cancelled fails because of that; there is nothing to report.
      if (!(outcome instanceof Fault)) outcome.close();
      return;
    }
    this.#note(outcome, ip);
    if (!(outcome instanceof Fault)) return this.#end(outcome);
    // A refusal by the peer says more than a missing answer.
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

  #end(outcome: DialOutcome): void {
    this.#isOver = true;
    this.#cancelDeadline();
    this.#cancelNext();
    // An abort makes an error with a stack, which would cost each check more than its connection.
    if (this.#running > 0) this.#sockets.abort();
    this.#resolve(outcome);
  }
}

/**
 * A connection to a port of this machine that nobody listens on may meet itself: the kernel picks the same
 * port for our end, and both ends agree (RFC 9293 section 3.5, simultaneous open). That is a closed port.
 */
function refuseSelfConnect(conn: Deno.Conn): Deno.Conn | Fault {
  const { localAddr: local, remoteAddr: remote } = conn;
  if (local.transport !== "tcp" || remote.transport !== "tcp") return conn;
  if (local.port !== remote.port || local.hostname !== remote.hostname) return conn;
  conn.close();
  return new Fault("connectRefused", "nobody listens there");
}
