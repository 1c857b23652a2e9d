/**
 * A request body that is sent to an upstream. Its size is limited. While it is small it is kept, so that it can
 * be sent again; beyond the limit for one request, or for all requests together, it streams through once.
 *
 * When a part does not fit, what is kept so far is discarded only once an attempt takes that part. So an
 * attempt that fails while the client continues to send loses nothing.
 */
import { Fault } from "../base/fault.ts";
import type { BodySource } from "../http1/body.ts";
import type { Fields } from "../http1/fields.ts";

/** The most that is kept of one request, in bytes. */
export const KEPT_MAX = 64 * 1024;
/** The most that is kept of all requests under way together, in bytes. */
export const KEPT_TOTAL_MAX = 64 * 1024 * 1024;

/** How much is kept now of all requests together, in bytes. */
export interface KeptTotal {
  bytes: number;
}

/** The body of one request, over all attempts. */
export class RequestBody {
  readonly #source: BodySource;
  readonly #max: number;
  readonly #total: KeptTotal;
  #keeps: boolean;
  #kept: Uint8Array[] = [];
  #keptBytes = 0;
  /** How many of the kept parts the present attempt has taken. */
  #at = 0;
  /** A part that is not kept, from its arrival until an attempt takes it. */
  #passing: Uint8Array | undefined;
  /** True once an attempt has taken a part that is not kept. */
  #hasPassed = false;
  #isPulling = false;
  #isOver = false;
  /** Why nothing more can be read from the client. */
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

  /** True if it can be sent from its first byte. Reliable only after the last attempt has ended. */
  get replayable(): boolean {
    return !this.#hasPassed;
  }

  /**
   * The body from its first byte on, with the trailers except those in `dropped`. The source that an earlier
   * call returned ends.
   */
  begin(dropped: Parameters<Fields["without"]>[0]): BodySource {
    this.end();
    const mine = this.#attempt;
    this.#at = 0;
    // deno-lint-ignore no-this-alias -- the getters below have their own `this`
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

  /** Ends the source of the present attempt: it yields nothing more, and a pending read rejects. */
  end(): void {
    this.#attempt++;
    this.#wakeReader();
  }

  /** Discards all that is kept. Call it when the exchange is over. */
  release(): void {
    this.end();
    this.#discard();
    this.#passing = undefined;
    this.#hasPassed = true;
  }

  #discard(): void {
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

  /** There is one read of the client at a time. If its attempt ends, the next attempt gets the result. */
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
    this.#discard();
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
