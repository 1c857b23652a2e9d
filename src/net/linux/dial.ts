/**
 * Connects sockets of the kernel, as `net/deno/dial.ts` does with Deno's: the addresses of a name one after
 * another, the next one as soon as one fails or has not answered for 250 ms (RFC 8305), within one deadline.
 */
import type { Clock } from "../../base/clock.ts";
import { endAfter } from "../../base/deadline.ts";
import { Fault, FAULTS } from "../../base/fault.ts";
import { connectFaultOf, connectShortageWords, errnoWords } from "../../linux/errno.ts";
import type { EmbeddedLoop } from "./embedded_loop.ts";
import { FAILED, type SockAddr, WRITABLE } from "../../linux/kernel.ts";
import type { Watcher } from "../../linux/loop.ts";
import { scopedSockaddr } from "../../linux/scope.ts";
import { ipSockaddr } from "../../linux/sockaddr.ts";
import { ADDRESSES_MAX, NEXT_ADDRESS_MS } from "../deno/dial.ts";
import { resolver as ofProcess } from "../resolve.ts";
import type { Conn, Dial } from "../conn.ts";
import { LinuxConn } from "./conn.ts";
import type { PlainDialOptions } from "../transport.ts";

/** Makes the function that opens connections to one upstream. It rejects with a Fault; nothing was sent then. */
export function linuxDialer(host: EmbeddedLoop, options: PlainDialOptions): Dial {
  const { hostname, port, clock, connectMs, resolver = ofProcess } = options;
  const literal = ipSockaddr(hostname, port);
  return async (signal, onConnecting) => {
    const attempt = new LinuxDialAttempt(host, clock, (ip, fault) => {
      if (ip === undefined) return;
      if (fault === undefined) resolver.connected(hostname, ip);
      else if (FAULTS[fault.fault].side === "upstream") resolver.failed(hostname, ip);
    }, onConnecting);
    const cancel = endAfter(signal, connectMs, clock, (cause) => {
      if (cause === "late") attempt.timedOut();
      else attempt.giveUp(new Fault("connectFailed", "cancelled"));
    });
    try {
      if (literal !== undefined) attempt.begin([{ address: literal }]);
      // A look-up cannot be cancelled; addresses that it finds too late are ignored.
      else void resolver.resolve(hostname).then((found) => attempt.found(found, port));
      return await attempt.outcome;
    } finally {
      cancel();
    }
  };
}

/** One address to try; `ip` is set if it is one of a name's. */
interface DialTarget {
  readonly address: SockAddr;
  readonly ip?: string;
}

/** Called with the outcome of each address: no fault if it was connected. */
type Note = (ip: string | undefined, fault: Fault | undefined) => void;

class LinuxDialAttempt implements Watcher {
  readonly #host: EmbeddedLoop;
  readonly #clock: Clock;
  readonly #note: Note;
  readonly #onConnecting: (() => void) | undefined;
  readonly #end = Promise.withResolvers<Conn>();
  /** Undefined while the name is being looked up. */
  #left: readonly DialTarget[] | undefined;
  /** Sockets that connect now. */
  readonly #open: { readonly fd: number; readonly place: DialTarget }[] = [];
  #cancelNext: () => void = () => {};
  /** The result if no address answers. */
  #fault: Fault | undefined;
  #isOver = false;

  constructor(host: EmbeddedLoop, clock: Clock, note: Note, onConnecting?: () => void) {
    this.#host = host;
    this.#clock = clock;
    this.#note = note;
    this.#onConnecting = onConnecting;
  }

  get outcome(): Promise<Conn> {
    return this.#end.promise;
  }

  found(ips: readonly string[] | Fault, port: number): void {
    if (this.#isOver) return;
    if (ips instanceof Fault) return this.giveUp(ips);
    const places = ips.map((ip) => ({ ip, address: scopedSockaddr(ip, port) }));
    this.begin(
      places.filter((place): place is DialTarget & { ip: string } => place.address !== undefined),
    );
  }

  begin(places: readonly DialTarget[]): void {
    this.#left = places.slice(0, ADDRESSES_MAX);
    this.#onConnecting?.();
    this.#next();
  }

  ready(fd: number, flags: number): void {
    const { loop } = this.#host;
    const error = (flags & FAILED) === 0 ? 0 : loop.kernel.takeError(fd);
    if (error < 0) return this.#failed(fd, connectFailure(error));
    if ((flags & WRITABLE) === 0) return;
    const { address } = this.#open.find((open) => open.fd === fd)!.place;
    if (loop.kernel.isItsOwnPeer(fd, address)) {
      return this.#failed(fd, new Fault("connectRefused", "nobody listens there"));
    }
    this.#note(this.#take(fd).ip, undefined);
    this.#finish();
    const conn = new LinuxConn(this.#host, fd);
    loop.rewatch(fd, conn);
    // The upstream may have sent something, or have closed, already.
    conn.ready(fd, flags);
    this.#end.resolve(conn);
  }

  timedOut(): void {
    this.giveUp(new Fault(this.#left === undefined ? "nameSilent" : "connectTimeout"));
  }

  giveUp(fault: Fault): void {
    if (this.#isOver) return;
    this.#finish();
    this.#end.reject(fault);
  }

  /** Tries the next address, and later the one after it if this one has not answered. */
  #next(): void {
    this.#cancelNext();
    while (!this.#isOver) {
      const [place, ...left] = this.#left!;
      if (place === undefined) {
        if (this.#open.length === 0) this.giveUp(this.#fault ?? new Fault("nameUnknown"));
        return;
      }
      this.#left = left;
      const fault = this.#connect(place);
      if (fault === undefined) break;
      this.#noteFault(place, fault);
    }
    if (this.#isOver || this.#left!.length === 0) return;
    this.#cancelNext = this.#clock.after(NEXT_ADDRESS_MS, () => this.#next());
  }

  #connect(place: DialTarget): Fault | undefined {
    const { loop } = this.#host;
    const fd = loop.kernel.connect(place.address, { userTimeoutMs: 0 });
    if (fd < 0) return connectFailure(fd);
    const result = loop.watch(fd, this);
    if (result < 0) {
      loop.kernel.close(fd);
      return connectFailure(result);
    }
    this.#open.push({ fd, place });
  }

  #failed(fd: number, fault: Fault): void {
    const place = this.#take(fd);
    this.#close(fd);
    this.#noteFault(place, fault);
    this.#next();
  }

  #noteFault(place: DialTarget, fault: Fault): void {
    this.#note(place.ip, fault);
    // A refusal by the peer says more than a missing answer.
    if (this.#fault === undefined || !FAULTS[this.#fault.fault].hard) this.#fault = fault;
  }

  /** Removes `fd` from this attempt, and returns its address. */
  #take(fd: number): DialTarget {
    const index = this.#open.findIndex((open) => open.fd === fd);
    return this.#open.splice(index, 1)[0]!.place;
  }

  #finish(): void {
    this.#isOver = true;
    this.#cancelNext();
    for (const { fd } of this.#open.splice(0)) this.#close(fd);
  }

  #close(fd: number): void {
    this.#host.loop.forget(fd);
    this.#host.loop.kernel.close(fd);
  }
}

/** What a connect has failed with: a negated error number. */
export function connectFailure(result: number): Fault {
  const name = connectFaultOf(result);
  if (name === "localShortage") return new Fault(name, connectShortageWords(result));
  return new Fault(name, name === "connectFailed" ? errnoWords(result) : undefined);
}
