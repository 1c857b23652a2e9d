/**
 * Message bodies, which are pulled: nothing is read before a consumer asks for it, which is the only back-pressure
 * that is needed. The bytes are views into the connection's buffer, so forwarding copies nothing.
 */
import { Fault, type FaultName } from "../base/fault.ts";
import type { Fields, MessageSide } from "./fields.ts";
import type { HeadWriter } from "./head_writer.ts";
import { CHUNKED, ChunkedDecoder, type Framing, UNTIL_CLOSE } from "./framing.ts";
import type { BufferedConn } from "./buffered_conn.ts";
import type { ReadBuffer } from "./read_buffer.ts";

/** Where the bytes of a message come from. */
export interface BodySource {
  /** Bytes in all, if that is known; undefined sends it chunked, or until close to HTTP/1.0. */
  readonly length: number | undefined;
  /** Bytes that can be had without waiting, or undefined. The view is valid until the next call. */
  ready?(): Uint8Array | undefined;
  /** Adds the whole payload to `out` and ends, if all of it has arrived; false if not, or if that is not known. */
  copyAllTo?(out: HeadWriter): boolean;
  /** The next bytes, never empty; undefined at the end. The view is valid until the next call. */
  read(): Promise<Uint8Array | undefined>;
  /** True once it is known that nothing more comes. Where it is missing, only `read` can show that. */
  readonly ended?: boolean;
  /** Replaces the last `read` for a consumer that has seen `ended` and has used the last view. */
  done?(): void;
  /** The consumer has ended: it gets nothing more, and a pending read rejects. */
  cancel?(): void;
  /** Bytes of payload so far, where the source counts them. */
  readonly received?: number;
  /** Trailer fields, once the end was seen. They are sent on only where the framing is chunked. */
  readonly trailers?: Fields | undefined;
}

/** How bodies come in; the same for all bodies of one kind of connection. */
export interface BodyRules {
  readonly side: MessageSide;
  /** Without a byte while one is awaited, in milliseconds; 0 is never. */
  readonly waitMs: number;
  /** Bytes per second below which it is too slow, after the first `waitMs`; 0 is never. */
  readonly rateMin: number;
  readonly lateFault: FaultName;
  readonly cutFault: FaultName;
}

/** The events of a body for its owner. */
export interface BodyEvents {
  /** Called once, before the first wait: the moment to send `100 Continue`. The body waits for the returned promise. */
  beforeBodyWait(): Promise<void> | undefined;
  /** Called once, when the consumer is done with the last byte. */
  bodyEnded(): void;
}

/** The body of a message that arrives on a connection. */
export class Body implements BodySource {
  readonly #io: BufferedConn;
  readonly #framing: Framing;
  readonly #rules: BodyRules;
  readonly #events: BodyEvents | undefined;
  readonly #declared: number | undefined;
  readonly #decoder: ChunkedDecoder | undefined;
  #left: number;
  #ended: boolean;
  #broken: Fault | undefined;
  #hasCalled = false;
  #waited = false;
  #slowBy = Infinity;
  /** Payload bytes handed out so far. */
  received = 0;
  /** True if the message carries no payload, whatever `length` declares. */
  readonly none: boolean;

  /** `declared`: its length where that differs from the framing, of the body that HEAD and 304 leave out. */
  constructor(
    io: BufferedConn,
    framing: Framing,
    rules: BodyRules,
    events?: BodyEvents,
    declared?: number,
  ) {
    this.#io = io;
    this.#framing = framing;
    this.#rules = rules;
    this.#events = events;
    this.#declared = declared;
    this.#decoder = framing === CHUNKED ? new ChunkedDecoder(rules.side) : undefined;
    this.#left = framing >= 0 ? framing : Infinity;
    this.none = this.#ended = framing === 0;
  }

  /** Bytes of the whole body as declared; for HEAD and 304 that of the body left out. */
  get length(): number | undefined {
    return this.#declared ?? (this.#framing >= 0 ? this.#framing : undefined);
  }

  /** True once the last byte was handed out. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Payload that may still come, in bytes; Infinity if that is unknown. */
  get left(): number {
    return this.#ended ? 0 : this.#left;
  }

  /** Why it cannot be read to its end, once that is known. */
  get broken(): Fault | undefined {
    return this.#broken;
  }

  get trailers(): Fields | undefined {
    return this.#decoder?.trailers;
  }

  /** Payload that is here already. Throws the Fault of bad framing. */
  ready(): Uint8Array | undefined {
    if (this.#broken !== undefined) throw this.#broken;
    const { input } = this.#io;
    if (this.#ended || input.isEmpty) return undefined;
    if (this.#decoder !== undefined) return this.#decode(input, this.#decoder);
    const count = Math.min(this.#left, input.length);
    const view = input.take(count);
    this.#left -= count;
    this.received += count;
    if (this.#left === 0) this.#ended = true;
    return view;
  }

  copyAllTo(out: HeadWriter): boolean {
    const { input } = this.#io;
    const count = this.#left;
    const isWhole = this.#framing >= 0 && !this.#ended && count <= input.length;
    if (!isWhole || this.#broken !== undefined) return false;
    out.part(input.bytes, input.start, input.start + count);
    input.start += count;
    this.received += count;
    this.#left = 0;
    this.#ended = true;
    this.done();
    return true;
  }

  #decode(input: ReadBuffer, decoder: ChunkedDecoder): Uint8Array | undefined {
    const step = decoder.step(input.bytes, input.start, input.end);
    input.start = decoder.at;
    if (step instanceof Fault) throw this.#broken = step;
    if (step === "end") this.#ended = true;
    if (step !== "data") return undefined;
    this.received += decoder.dataEnd - decoder.dataStart;
    return input.bytes.subarray(decoder.dataStart, decoder.dataEnd);
  }

  /** The next payload. Rejects with a Fault when the body is late, cut or malformed. */
  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const view = this.ready();
      if (view !== undefined) return view;
      if (this.#ended) return this.done();
      if (!await this.#wait()) {
        if (this.#framing !== UNTIL_CLOSE) {
          throw this.#broken = new Fault(this.#rules.cutFault);
        }
        this.#ended = true;
      }
    }
  }

  done(): undefined {
    if (this.#hasCalled) return;
    this.#hasCalled = true;
    this.#events?.bodyEnded();
  }

  async #wait(): Promise<boolean> {
    const { waitMs, rateMin, lateFault } = this.#rules;
    const io = this.#io;
    const waitBy = io.deadlines.in(waitMs);
    if (!this.#waited) {
      this.#waited = true;
      if (rateMin > 0) this.#slowBy = waitBy;
      await this.#events?.beforeBodyWait();
    }
    const slowBy = rateMin > 0 ? this.#slowBy + this.received / rateMin * 1000 : Infinity;
    io.readBy(Math.min(waitBy, slowBy), lateFault);
    try {
      return await io.fill(this.#left > 4096);
    } finally {
      io.readBy(Infinity, lateFault);
    }
  }
}

/** True if the whole body of a plain framing is in the buffer, so that nobody waits for it. */
export function isBuffered(io: BufferedConn, framing: Framing): boolean {
  return framing >= 0 && io.input.length >= framing;
}
