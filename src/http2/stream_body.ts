/**
 * The body of a request. What has come and was not used waits here; it is never more than the window that the
 * client was given, and a window is given again only for what was used. That is the back-pressure.
 */
import type { Bytes } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import type { BodyRules, BodySource } from "../http1/body.ts";
import type { Fields } from "../http1/fields.ts";
import type { HeadWriter } from "../http1/head_writer.ts";
import type { CoarseTimed, Deadlines } from "../net/deadlines.ts";
import { BodyBuffer } from "./body_buffer.ts";

/** Made once, because an Error is expensive. */
const UNUSED = new Fault("clientGone", "nobody reads the body any more");

/** What a body needs of its stream. */
export interface StreamBodyEvents {
  /** `count` bytes were used: the client may send as many more. */
  used(count: number): void;
  /** Called once, before the first wait: the moment to send `100 Continue`. */
  beforeBodyWait(): void;
}

/** The body that arrives on one stream. */
export class StreamBody implements BodySource, CoarseTimed {
  place = -1;
  readonly none: boolean;
  readonly length: number | undefined;
  received = 0;
  trailers: Fields | undefined;
  readonly #events: StreamBodyEvents;
  readonly #rules: BodyRules;
  readonly #deadlines: Deadlines;
  readonly #buffer = new BodyBuffer();
  /** Bytes of the view that was handed out last. */
  #handedOut = 0;
  /** Payload that has come, used or not. */
  #arrived = 0;
  #isComplete: boolean;
  #ended: boolean;
  #isCancelled = false;
  #broken: Fault | undefined;
  #waiter: PromiseWithResolvers<void> | undefined;
  #waited = false;
  #waitBy = Infinity;
  #slowBy = Infinity;

  /** `length`: what `Content-Length` declares. `isNone`: the head was the last frame. */
  constructor(
    length: number | undefined,
    isNone: boolean,
    rules: BodyRules,
    deadlines: Deadlines,
    events: StreamBodyEvents,
  ) {
    this.#isComplete = this.#ended = isNone;
    this.length = isNone ? 0 : length;
    // A body that was declared to be empty is none, although its last frame may still come.
    this.none = this.length === 0;
    this.#rules = rules;
    this.#deadlines = deadlines;
    this.#events = events;
  }

  /** True once the last byte was handed out. */
  get ended(): boolean {
    return this.#ended;
  }

  /** True once the last byte has come. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Takes a copy of payload that has come. False if it is more than was declared. */
  add(bytes: Uint8Array, start: number, end: number): boolean {
    const count = end - start;
    this.#arrived += count;
    if (this.length !== undefined && this.#arrived > this.length) return false;
    if (count === 0) return true;
    if (this.#isCancelled || this.#broken !== undefined) this.#events.used(count);
    else this.#buffer.add(bytes, start, end);
    this.#wake();
    return true;
  }

  /** The last frame has come. False if there is less than was declared. */
  complete(trailers?: Fields): boolean {
    if (this.length !== undefined && this.#arrived !== this.length) return false;
    this.trailers = trailers;
    this.#isComplete = true;
    this.#wake();
    return true;
  }

  /** It cannot be read to its end. */
  fail(fault: Fault): void {
    if (this.#isComplete) return;
    this.#broken ??= fault;
    this.#wake();
  }

  ready(): Bytes | undefined {
    this.#giveBack();
    const part = this.#buffer.take();
    if (part === undefined) {
      if (this.#broken !== undefined) throw this.#broken;
      if (this.#isComplete) this.#ended = true;
      return undefined;
    }
    this.#handedOut = part.length;
    this.received += part.length;
    if (this.#isComplete && this.#buffer.isEmpty) this.#ended = true;
    return part;
  }

  copyAllTo(out: HeadWriter): boolean {
    if (!this.#isComplete || this.#ended) return false;
    this.#giveBack();
    for (let part = this.#buffer.take(); part !== undefined; part = this.#buffer.take()) {
      out.raw(part);
      this.received += part.length;
      this.#handedOut = part.length;
      this.#giveBack();
    }
    this.#ended = true;
    return true;
  }

  async read(): Promise<Bytes | undefined> {
    for (;;) {
      const part = this.ready();
      if (part !== undefined) return part;
      if (this.#ended) return undefined;
      await this.#wait();
    }
  }

  done(): void {
    this.#giveBack();
  }

  cancel(): void {
    this.#isCancelled = true;
    // What is handed out may still be on its way to somebody.
    const count = this.#handedOut + this.#buffer.clear();
    this.#handedOut = 0;
    if (count > 0) this.#events.used(count);
    this.fail(UNUSED);
  }

  tick(now: number): void {
    if (now < this.#waitBy && now < this.#slowBy) return;
    this.fail(new Fault(this.#rules.lateFault));
  }

  #giveBack(): void {
    if (this.#handedOut === 0) return;
    const count = this.#handedOut;
    this.#handedOut = 0;
    this.#buffer.returned();
    this.#events.used(count);
  }

  async #wait(): Promise<void> {
    const { waitMs, rateMin } = this.#rules;
    this.#waitBy = this.#deadlines.in(waitMs);
    if (!this.#waited) {
      this.#waited = true;
      if (rateMin > 0) this.#slowBy = this.#waitBy;
      this.#events.beforeBodyWait();
    }
    const slowStart = this.#slowBy;
    if (rateMin > 0) this.#slowBy = slowStart + this.received / rateMin * 1000;
    this.#waiter = Promise.withResolvers();
    this.#deadlines.add(this);
    try {
      await this.#waiter.promise;
    } finally {
      this.#slowBy = slowStart;
      this.#deadlines.delete(this);
    }
  }

  #wake(): void {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    waiter?.resolve();
  }
}
