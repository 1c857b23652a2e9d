/**
 * A request body on its way to an upstream: bounded in size, and kept, as long as it is small, so that it
 * can be sent again. What is beyond the bound of one request or of all together streams through once.
 *
 * A part that does not fit is not the end of what is kept: only when an attempt takes that part is the
 * rest let go. So an attempt that fails while the client goes on sending loses nothing.
 */
import { Fault } from "../base/fault.ts";
import type { BodySource } from "../http1/body.ts";
import type { Fields } from "../http1/fields.ts";

/** Kept of one request. */
export const KEPT_MAX = 64 * 1024;
/** Kept of all requests under way. */
export const KEPT_TOTAL_MAX = 64 * 1024 * 1024;

/** How much is kept at present. */
export interface KeptTotal {
  bytes: number;
}

export class RequestBody {
  readonly #source: BodySource;
  readonly #max: number;
  readonly #total: KeptTotal;
  #keeps: boolean;
  #kept: Uint8Array[] = [];
  #keptBytes = 0;
  /** How many of the kept parts the present attempt has had. */
  #at = 0;
  /** A part that is not kept, between its arrival and its use. */
  #passing: Uint8Array | undefined;
  /** True once a part was handed out that is not kept. */
  #hasPassed = false;
  #isPulling = false;
  #isOver = false;
  /** Why nothing more can be had from the client. */
  #broken: { readonly error: unknown } | undefined;
  /** Called when a pull has ended, or the attempt that waits for it. */
  #wake: (() => void) | undefined;
  #attempt = 0;
  /** Bytes that came from the client. */
  received = 0;

  /** `max`: bytes that the client may send; `keep`: whether it may be sent twice at all. */
  constructor(source: BodySource, max: number, keep: boolean, total: KeptTotal) {
    this.#source = source;
    this.#max = max;
    this.#keeps = keep;
    this.#total = total;
  }

  /** True if it can be sent from its first byte. Only true to the end once the last attempt has ended. */
  get replayable(): boolean {
    return !this.#hasPassed;
  }

  /**
   * The body from its first byte, and the trailers but those in `dropped`. A source that was handed out
   * before ends.
   */
  begin(dropped: Parameters<Fields["without"]>[0]): BodySource {
    this.end();
    const mine = this.#attempt;
    this.#at = 0;
    // deno-lint-ignore no-this-alias -- the getters below have a `this` of their own
    const body = this;
    return {
      length: this.#source.length,
      ready: () => mine === this.#attempt ? this.#ready() : undefined,
      read: () => this.#read(mine),
      cancel: () => {
        if (mine === this.#attempt) this.end();
      },
      get ended(): boolean {
        return mine === body.#attempt && body.#isAtEnd();
      },
      get trailers(): Fields | undefined {
        return body.#source.trailers?.without(dropped);
      },
    };
  }

  /** Ends the attempt that has the body: it gets nothing more, and a read that waits rejects. */
  end(): void {
    this.#attempt++;
    this.#wakeReader();
  }

  /** Lets go of all of it: nobody sends it any more. */
  release(): void {
    this.end();
    this.#letGo();
    this.#passing = undefined;
    this.#hasPassed = true;
  }

  #letGo(): void {
    this.#total.bytes -= this.#keptBytes;
    this.#keptBytes = 0;
    this.#kept = [];
    this.#keeps = false;
    this.#at = 0;
  }

  #isAtEnd(): boolean {
    return this.#source.ended === true && this.#passing === undefined &&
      this.#at === this.#kept.length;
  }

  #ready(): Uint8Array | undefined {
    const waiting = this.#takeWaiting();
    if (waiting !== undefined || this.#isPulling || this.#broken !== undefined) return waiting;
    const part = this.#source.ready?.();
    if (part === undefined) return undefined;
    this.#accept(part);
    return this.#takeWaiting();
  }

  /** One read of the client at a time, whoever asked for it: an attempt that ended leaves it to the next. */
  async #read(mine: number): Promise<Uint8Array | undefined> {
    for (;;) {
      if (mine !== this.#attempt) throw new Fault("upstreamReset", "attempt is over");
      const part = this.#ready();
      if (part !== undefined) return part;
      if (this.#broken !== undefined) throw this.#broken.error;
      if (this.#isOver) return undefined;
      this.#pull();
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  #pull(): void {
    if (this.#isPulling) return;
    this.#isPulling = true;
    this.#source.read().then((part) => {
      this.#isPulling = false;
      if (part === undefined) this.#isOver = true;
      else this.#accept(part);
    }).catch((error) => {
      this.#isPulling = false;
      this.#broken ??= { error };
    }).then(() => this.#wakeReader());
  }

  #wakeReader(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  #takeWaiting(): Uint8Array | undefined {
    if (this.#at < this.#kept.length) return this.#kept[this.#at++];
    const part = this.#passing;
    if (part === undefined) return undefined;
    this.#passing = undefined;
    this.#hasPassed = true;
    this.#letGo();
    return part;
  }

  #accept(part: Uint8Array): void {
    this.received += part.length;
    if (this.received > this.#max) {
      const error = new Fault("bodyTooLarge", `over ${this.#max} bytes`);
      this.#broken = { error };
      throw error;
    }
    const fits = this.#keeps && this.received <= KEPT_MAX &&
      this.#total.bytes + part.length <= KEPT_TOTAL_MAX;
    if (fits) {
      this.#kept.push(part.slice());
      this.#keptBytes += part.length;
      this.#total.bytes += part.length;
    } else this.#passing = part;
  }
}
