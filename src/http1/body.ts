/**
 * Message bodies, which are pulled: nothing is read before a consumer asks for it, and that is the whole
 * back-pressure. The bytes are views into the connection's buffer, so forwarding copies nothing.
 */
import { Fault, type FaultName } from "../base/fault.ts";
import type { Fields } from "./fields.ts";
import { CHUNKED, ChunkedDecoder, type Framing, UNTIL_CLOSE } from "./framing.ts";
import type { BufferedConn } from "./buffered_conn.ts";
import type { ReadBuffer } from "./read_buffer.ts";

/** Where the bytes of a message come from. */
export interface BodySource {
  /** Bytes in all, if that is known; undefined sends it chunked, or until close to HTTP/1.0. */
  readonly length: number | undefined;
  /** Bytes that can be had without waiting, or undefined. The view is valid until the next call. */
  ready?(): Uint8Array | undefined;
  /** The next bytes, never empty; undefined at the end. The view is valid until the next call. */
  read(): Promise<Uint8Array | undefined>;
  /** True once it is known that nothing more comes. Where it is missing, only `read` can show that. */
  readonly ended?: boolean;
  /** Replaces the last `read` for a consumer that has seen `ended` and has used the last view. */
  done?(): void;
  /** The consumer has ended: it gets nothing more, and a pending read rejects. */
  cancel?(): void;
  /** Trailer fields, once the end was seen. They are sent on only where the framing is chunked. */
  readonly trailers?: Fields | undefined;
}

/** How a body comes in. */
export interface BodyOptions {
  readonly framing: Framing;
  /** Declared length where it differs from the framing: of the body that HEAD and 304 leave out. */
  readonly declared: number | undefined;
  /** Without a byte while one is awaited, in milliseconds; 0 is never. */
  readonly waitMs: number;
  /** Bytes per second below which it is too slow, after the first `waitMs`; 0 is never. */
  readonly rateMin: number;
  readonly lateFault: FaultName;
  readonly cutFault: FaultName;
  readonly decoder: ChunkedDecoder | undefined;
  /** Called once, before the first wait: the moment for `100 Continue`. */
  readonly beforeWait?: (() => Promise<void>) | undefined;
  /** Called once, when the consumer is done with the last byte. */
  readonly onEnd?: (() => void) | undefined;
}

/** The body of a message that arrives on a connection. */
export class Body implements BodySource {
  readonly #io: BufferedConn;
  readonly #options: BodyOptions;
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

  constructor(io: BufferedConn, options: BodyOptions) {
    this.#io = io;
    this.#options = options;
    this.#decoder = options.decoder;
    this.#left = options.framing >= 0 ? options.framing : Infinity;
    this.none = this.#ended = options.framing === 0;
  }

  /** Bytes of the whole body as declared; for HEAD and 304 that of the body left out. */
  get length(): number | undefined {
    const { framing, declared } = this.#options;
    return declared ?? (framing >= 0 ? framing : undefined);
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
        if (this.#options.framing !== UNTIL_CLOSE) {
          throw this.#broken = new Fault(this.#options.cutFault);
        }
        this.#ended = true;
      }
    }
  }

  done(): undefined {
    if (this.#hasCalled) return;
    this.#hasCalled = true;
    this.#options.onEnd?.();
  }

  async #wait(): Promise<boolean> {
    const { waitMs, rateMin, lateFault, beforeWait } = this.#options;
    const io = this.#io;
    const waitBy = io.deadlines.in(waitMs);
    if (!this.#waited) {
      this.#waited = true;
      if (rateMin > 0) this.#slowBy = waitBy;
      await beforeWait?.();
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

/** A decoder, if this framing needs one. */
export function decoderFor(framing: Framing, side: "request" | "response") {
  return framing === CHUNKED ? new ChunkedDecoder(side) : undefined;
}

/** True if the whole body of a plain framing is in the buffer, so that nobody waits for it. */
export function isHere(wire: BufferedConn, framing: Framing): boolean {
  return framing >= 0 && wire.input.length >= framing;
}
