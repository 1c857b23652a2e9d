/**
 * The listening socket of a service, which belongs to the main thread: all threads accept from its one queue, and
 * if a thread dies, the clients in the queue are not lost. Descriptors are the same in all threads of a process.
 */
import { type Address, formatAddress } from "../base/address.ts";
import type { Clock } from "../base/clock.ts";
import type { Publish } from "../events/events.ts";
import { errnoWords } from "../linux/errno.ts";
import type { SockAddr } from "../linux/kernel.ts";
import type { Libc } from "../linux/libc.ts";
import { addressOfSockaddr, ipSockaddr, isUnix, literalSockaddr } from "../linux/sockaddr.ts";
import { removeSocketFile, socketFileId } from "../linux/socket_file.ts";
import { listenAt } from "../net/linux/bind.ts";
import { systemLookUp } from "../net/look_up.ts";
import { BACKLOG } from "../net/accept.ts";
import type { Resolver } from "../net/resolve.ts";
import { NameWatch } from "./name_watch.ts";

const RETRY_BIND_MS = 1_000;

/** Where a service listens. */
export interface PortSettings {
  /** Where clients connect. Host `::` means all interfaces, IPv6 and IPv4. */
  readonly address: Address;
  /** TCP_USER_TIMEOUT of the accepted sockets, in milliseconds; 0 leaves it to the system (tcp(7)). */
  readonly userTimeoutMs: number;
  /** Permission bits for the file of a unix socket; without them umask(2) decides. */
  readonly socketMode?: number | undefined;
}

/** What a port needs from outside. */
export interface PortParts {
  readonly libc: Libc;
  readonly clock: Clock;
  readonly publish: Publish;
  /** Finds the addresses of its name; the resolver of the process if missing. */
  readonly resolver?: Resolver | undefined;
  /** The port was opened: the threads are to accept on this descriptor. */
  readonly opened: (listener: number, address: Address) => void;
}

/** Opens, closes and reopens the listening socket of one service. */
export class Port implements Disposable {
  readonly #settings: PortSettings;
  readonly #parts: PortParts;
  /** Undefined until the name is known. */
  #address: SockAddr | undefined;
  #names: NameWatch | undefined;
  #isWanted = false;
  #listener = -1;
  #opened: Address | undefined;
  /** The file of a unix socket that is listened on. */
  #fileId: string | undefined;
  #cancelRetry: () => void = () => {};

  /** It is closed at first. */
  constructor(settings: PortSettings, parts: PortParts) {
    this.#settings = settings;
    this.#parts = parts;
    const { address } = settings;
    this.#address = literalSockaddr(address);
  }

  /** Looks the name of its address up again and again, if it has one. */
  watchName(): void {
    const { address } = this.#settings;
    if (this.#address !== undefined || address.kind === "unix") return;
    const { clock, resolver } = this.#parts;
    this.#names = new NameWatch(clock, address, (found) => this.#found(found), resolver);
  }

  /** Where it listens now; the system's choice where the port was 0. */
  get address(): Address | undefined {
    return this.#opened;
  }

  /** Opens the port; if that fails it tries again each second until it is closed. */
  open(): void {
    this.#isWanted = true;
    if (this.#listener !== -1 || this.#address === undefined) return;
    const reason = this.#tryOpen(this.#address);
    if (reason !== undefined) this.#failed(reason);
  }

  /** Opens the port. Resolves with the reason, for a person, if it cannot, and does not try again. */
  async openOnce(): Promise<string | undefined> {
    const { address } = this.#settings;
    if (this.#address === undefined && address.kind === "tcp") {
      const [ip] = await systemLookUp(address.host);
      if (ip === undefined) return "name does not resolve";
      this.#address = ipSockaddr(ip, address.port);
    }
    return this.#tryOpen(this.#address!);
  }

  /**
   * Closes the port: clients are refused from now on, those in the accept queue included, or as soon as the
   * threads have accepted those. `forgotten` resolves when no thread uses the descriptor any more, whose number
   * may then be used again.
   */
  close(forgotten: Promise<unknown>, refused: "now" | "byThreads" = "now"): void {
    this.#isWanted = false;
    this.#cancelRetry();
    const [listener, opened] = [this.#listener, this.#opened];
    if (listener === -1) return;
    this.#listener = -1;
    this.#opened = undefined;
    const { libc, publish } = this.#parts;
    if (refused === "now") libc.shutdown(listener);
    // By now the file may be that of another process.
    if (opened!.kind === "unix" && this.#fileId !== undefined) {
      removeSocketFile(opened!.path, this.#fileId);
    }
    void forgotten.finally(() => libc.close(listener));
    publish({ type: "port.closed", address: formatAddress(opened!) });
  }

  /** Stops the look-ups of its name. */
  [Symbol.dispose](): void {
    this.#names?.[Symbol.dispose]();
  }

  #found([address]: readonly SockAddr[]): void {
    if (address === undefined) {
      if (this.#address === undefined) this.#failed("name does not resolve", false);
      return;
    }
    this.#address = address;
    if (this.#isWanted) this.open();
  }

  /** Returns the reason if the port cannot be opened. */
  #tryOpen(address: SockAddr): string | undefined {
    const { libc, publish, opened } = this.#parts;
    const { userTimeoutMs, socketMode } = this.#settings;
    const listener = listenAt(libc, address, {
      backlog: BACKLOG,
      userTimeoutMs,
      ...socketMode === undefined ? {} : { socketMode },
    });
    if (listener < 0) return errnoWords(listener);
    this.#cancelRetry();
    this.#listener = listener;
    this.#opened = addressOfSockaddr(isUnix(address) ? address : libc.localAddress(listener));
    this.#fileId = this.#opened.kind === "unix" ? socketFileId(this.#opened.path) : undefined;
    opened(listener, this.#opened);
    publish({ type: "port.opened", address: formatAddress(this.#opened) });
  }

  #failed(reason: string, isRetried = true): void {
    const { clock, publish } = this.#parts;
    const address = formatAddress(this.#settings.address);
    publish({ type: "port.failed", address, reason, retryInMs: RETRY_BIND_MS });
    this.#cancelRetry();
    if (isRetried) this.#cancelRetry = clock.after(RETRY_BIND_MS, () => this.open());
  }
}
