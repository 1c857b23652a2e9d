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
import { prepareReceived } from "../linux/received_socket.ts";
import type { PassedListener, ReceivedPort } from "../net/handover.ts";
import { listenAt } from "../net/linux/bind.ts";
import { whyNotUsed } from "../net/linux/received.ts";
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
  /** Listening sockets that another process has left to this one. */
  readonly received?: ReceivedPort | undefined;
  /** The port was opened: the threads are to accept on this descriptor. */
  readonly opened: (listener: number, address: Address) => void;
}

/** Opens, closes and reopens the listening socket of one service. */
export class Port implements Disposable {
  #settings: PortSettings;
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
  /** Taken at once, so that nobody takes it for one that is not needed. */
  #received: PassedListener | undefined;
  /** The socket that is listened on, if it is lent. */
  #lent: PassedListener | undefined;

  /** It is closed at first. */
  constructor(settings: PortSettings, parts: PortParts) {
    this.#settings = settings;
    this.#parts = parts;
    const { address } = settings;
    this.#address = literalSockaddr(address);
    this.#received = parts.received?.take();
  }

  /** Looks the name of its address up again and again, if it has one. */
  watchName(): void {
    const { address } = this.#settings;
    if (this.#address !== undefined || address.kind === "unix") return;
    const { clock, resolver } = this.#parts;
    this.#names = new NameWatch(clock, address, (found) => this.#found(found), resolver);
  }

  /** The listening socket, and whether it is lent; undefined while the port is closed. */
  get passed(): Pick<PassedListener, "descriptor" | "isLent"> | undefined {
    if (this.#listener === -1) return undefined;
    return { descriptor: this.#listener, isLent: this.#lent !== undefined };
  }

  /** Changes the time-out of sockets that are accepted from now on. */
  setUserTimeout(userTimeoutMs: number): void {
    if (userTimeoutMs === this.#settings.userTimeoutMs) return;
    this.#settings = { ...this.#settings, userTimeoutMs };
    if (this.#listener !== -1) prepareReceived(this.#listener, { backlog: BACKLOG, userTimeoutMs });
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
   * Refuses clients until `open`, those in the accept queue included. `forgotten`: as for `close`. The clients of a
   * socket that is lent wait instead, as it must not be shut down.
   */
  refuse(forgotten: Promise<unknown>): void {
    const lent = this.#lent;
    if (lent === undefined) return this.close(forgotten);
    this.#lent = undefined;
    this.#received = lent;
    this.#forget();
  }

  /**
   * Closes the port: clients are refused from now on, those in the accept queue included, or as soon as the
   * threads have accepted those. `forgotten` resolves when no thread uses the descriptor any more, whose number
   * may then be used again. `left`: another process listens on the same socket, to which the clients go.
   */
  close(forgotten: Promise<unknown>, refused: "now" | "byThreads" | "left" = "now"): void {
    this.#dropReceived();
    const [listener, lent] = [this.#listener, this.#lent];
    const opened = this.#forget();
    if (opened === undefined) return;
    this.#lent = undefined;
    const { libc, received } = this.#parts;
    const isOurs = refused !== "left" && lent === undefined;
    if (isOurs && refused === "now") libc.shutdown(listener);
    // By now the file may be that of another process.
    if (isOurs && opened.kind === "unix" && this.#fileId !== undefined) {
      removeSocketFile(opened.path, this.#fileId);
    }
    void forgotten.finally(() => {
      if (lent === undefined || refused === "left") libc.close(listener);
      else received!.giveBack(lent);
    });
  }

  /** Listens no more. Returns where it listened; undefined if it did not. */
  #forget(): Address | undefined {
    this.#isWanted = false;
    this.#cancelRetry();
    const opened = this.#opened;
    this.#listener = -1;
    this.#opened = undefined;
    if (opened === undefined) return undefined;
    this.#parts.publish({ type: "port.closed", address: formatAddress(opened) });
    return opened;
  }

  /** The received socket is not needed. */
  #dropReceived(): void {
    const received = this.#received;
    this.#received = undefined;
    if (received === undefined) return;
    if (received.isLent === true) this.#parts.received!.giveBack(received);
    else this.#parts.libc.close(received.descriptor);
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
    const listener = this.#takeReceived(address) ?? listenAt(libc, address, {
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

  /** The received socket, if it is one that listens here. */
  #takeReceived(address: SockAddr): number | undefined {
    const received = this.#received;
    if (received === undefined) return undefined;
    const { descriptor, isLent } = received;
    const warning = whyNotUsed(received, address);
    if (warning !== undefined) {
      this.#parts.publish({ type: "config.warned", warning });
      this.#dropReceived();
      return undefined;
    }
    this.#received = undefined;
    this.#lent = isLent === true ? received : undefined;
    const { userTimeoutMs } = this.#settings;
    prepareReceived(descriptor, { backlog: BACKLOG, userTimeoutMs });
    return descriptor;
  }

  #failed(reason: string, isRetried = true): void {
    const { clock, publish } = this.#parts;
    const address = formatAddress(this.#settings.address);
    publish({ type: "port.failed", address, reason, retryInMs: RETRY_BIND_MS });
    this.#cancelRetry();
    if (isRetried) this.#cancelRetry = clock.after(RETRY_BIND_MS, () => this.open());
  }
}
