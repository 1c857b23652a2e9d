import type { Fields } from "./fields.ts";
/** Where the bytes of a message come from. */
export interface BodySource {
  /** Bytes in all if that is known; undefined sends it chunked (or until close to HTTP/1.0). */
  readonly length: number | undefined;
  /** Bytes that can be had without waiting, or undefined. Same rules as `read`. */
  ready?(): Uint8Array | undefined;
  /** The next bytes, never empty; undefined at the end. The view is good until the next call. Rejects with a Fault. */
  read(): Promise<Uint8Array | undefined>;
  /** Trailer fields, once the end was seen. Sent on only where the framing is chunked. */
  readonly trailers?: Fields | undefined;
}
/** The body of a message that arrives on a connection. */
export declare class Body implements BodySource {
  /** Declared length; for HEAD and 304 the length the body would have had. */
  readonly length: number | undefined;
  /** Payload bytes handed out so far. */
  readonly received: number;
  /** True once the last byte was handed out (or there is no body). */
  readonly ended: boolean;
  /** True if the message carries no body at all (whatever `length` declares). */
  readonly none: boolean;
  readonly trailers: Fields | undefined;
  ready(): Uint8Array | undefined;
  read(): Promise<Uint8Array | undefined>;
  /** A WHATWG stream of the rest; for handlers, never between two sockets. */
  stream(): ReadableStream<Uint8Array>;
}
