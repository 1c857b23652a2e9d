/**
 * Tells the service manager how this process is, by datagrams (sd_notify(3)): ready, stopping, another main process, one
 * line about its state, and that it is alive. What cannot be delivered at once is tried again for a while; nothing
 * waits for it, and without `NOTIFY_SOCKET` there is no notifier.
 */
import type { Clock } from "../base/clock.ts";
import { oneLine } from "../base/one_line.ts";
import { datagramSockaddr, sendDatagram } from "../linux/datagram.ts";
import { EAGAIN, ENOBUFS, errnoWords } from "../linux/errno.ts";

/** Messages that wait until the manager has taken earlier ones. */
const WAITING_MAX = 16;
const RETRY_MS = 100;
/** How often one message is tried. */
const TRIES_MAX = 50;
/** Shortest time between two lines about the state, in milliseconds. */
const STATUS_MS = 1_000;
/** Longest such line, in characters. */
const STATUS_MAX = 500;

/** What a notifier needs from outside. */
export interface NotifyParts {
  readonly clock: Clock;
  /** CLOCK_MONOTONIC, in microseconds. */
  readonly monotonicUsec: () => bigint;
  /** Gets a line for a person when messages cannot be delivered; once. */
  readonly onTrouble: (line: string) => void;
  /** Sends one datagram; tests replace it. */
  readonly send?: typeof sendDatagram;
}

/** A manager that listens. */
export class Notifier implements Disposable {
  readonly #address: Uint8Array<ArrayBuffer>;
  readonly #parts: NotifyParts;
  readonly #send: typeof sendDatagram;
  readonly #waiting: { readonly bytes: Uint8Array<ArrayBuffer>; tries: number }[] = [];
  readonly #watchdogMs: number | undefined;
  #status = () => "";
  #shown = "";
  #statusAt = -Infinity;
  #isTroubled = false;
  /** Another process is the service. */
  #isOver = false;
  #cancelRetry: (() => void) | undefined;
  #cancelStatus: (() => void) | undefined;
  #cancelWatchdog: () => void = () => {};

  /** Undefined if nobody asked for messages, or at an address of a kind that is not known. */
  static from(
    env: Readonly<Record<string, string>>,
    pid: number,
    parts: NotifyParts,
  ): Notifier | undefined {
    const { NOTIFY_SOCKET: place = "" } = env;
    if (place === "") return undefined;
    const address = /^[/@]./.test(place) ? datagramSockaddr(place) : undefined;
    if (address !== undefined) return new Notifier(address, watchdogMsOf(env, pid), parts);
    parts.onTrouble(`NOTIFY_SOCKET is "${place}", which is no unix socket: nobody is notified`);
    return undefined;
  }

  private constructor(
    address: Uint8Array<ArrayBuffer>,
    watchdogMs: number | undefined,
    parts: NotifyParts,
  ) {
    this.#address = address;
    this.#parts = parts;
    this.#watchdogMs = watchdogMs;
    this.#send = parts.send ?? sendDatagram;
  }

  /**
   * The process serves, after its start or after a reload. From now on it also says that it is alive, if it was asked
   * to: by a timer of this thread's event loop, so that silence means that this loop stands still. `pid`: this process,
   * if it has taken over from the one that the manager has started.
   */
  ready(pid?: number): void {
    this.#tell("READY=1", ...pid === undefined ? [] : [`MAINPID=${pid}`]);
    this.#beat();
  }

  /** A reload begins; `ready` must follow (Type=notify-reload, systemd.service(5)). */
  reloading(): void {
    this.#tell("RELOADING=1", `MONOTONIC_USEC=${this.#parts.monotonicUsec()}`);
  }

  /** The process begins to end. It still says that it is alive. */
  stopping(): void {
    if (!this.#isOver) this.#tell("STOPPING=1");
  }

  /** Another process is the service from now on. This one says nothing more. */
  handOver(pid: number): void {
    this.#tell(`MAINPID=${pid}`);
    this.#isOver = true;
    this.#cancelWatchdog();
    this.#cancelStatus?.();
  }

  /**
   * The state may have changed: `text` says it in a line for people (`systemctl status`). It is asked at most once a
   * second, and the last call counts.
   */
  status(text: () => string): void {
    if (this.#isOver) return;
    this.#status = text;
    if (this.#cancelStatus !== undefined) return;
    const { clock } = this.#parts;
    const dueInMs = this.#statusAt + STATUS_MS - clock.now();
    if (dueInMs <= 0) return this.#showStatus();
    this.#cancelStatus = clock.after(dueInMs, () => this.#showStatus());
  }

  /** Ends all timers. */
  [Symbol.dispose](): void {
    this.#cancelWatchdog();
    this.#cancelStatus?.();
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    this.#waiting.length = 0;
  }

  #showStatus(): void {
    this.#cancelStatus = undefined;
    this.#statusAt = this.#parts.clock.now();
    const text = oneLine(this.#status()).slice(0, STATUS_MAX);
    if (text === this.#shown) return;
    this.#shown = text;
    this.#tell(`STATUS=${text}`);
  }

  #beat(): void {
    const ms = this.#watchdogMs;
    if (ms === undefined) return;
    this.#cancelWatchdog();
    this.#cancelWatchdog = this.#parts.clock.after(ms / 2, () => {
      this.#tell("WATCHDOG=1");
      this.#beat();
    });
  }

  #tell(...lines: readonly string[]): void {
    // The oldest is given up; what comes later says more about the present.
    if (this.#waiting.length >= WAITING_MAX) this.#waiting.shift();
    this.#waiting.push({ bytes: new TextEncoder().encode(lines.join("\n")), tries: 0 });
    if (this.#cancelRetry === undefined) this.#deliver();
  }

  #deliver(): void {
    this.#cancelRetry = undefined;
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const result = this.#send(this.#address, first.bytes);
      const isFull = result === -EAGAIN || result === -ENOBUFS;
      if (isFull && ++first.tries < TRIES_MAX) {
        this.#cancelRetry = this.#parts.clock.after(RETRY_MS, () => this.#deliver());
        return;
      }
      this.#waiting.shift();
      if (result < 0) this.#trouble(result);
    }
  }

  #trouble(result: number): void {
    if (this.#isTroubled) return;
    this.#isTroubled = true;
    this.#parts.onTrouble(`the service manager cannot be notified: ${errnoWords(result)}`);
  }
}

/** How often this process must say that it is alive, in milliseconds; undefined if it was not asked to. */
function watchdogMsOf(
  { WATCHDOG_USEC: usec = "", WATCHDOG_PID: forPid }: Readonly<Record<string, string>>,
  pid: number,
): number | undefined {
  if (!/^\d{1,15}$/.test(usec) || Number(usec) < 1_000) return undefined;
  if (forPid !== undefined && forPid !== String(pid)) return undefined;
  return Number(usec) / 1_000;
}
