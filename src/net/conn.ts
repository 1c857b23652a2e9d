/**
 * What HTTP/1.1 needs from a connection, and nothing else: a `Deno.Conn` fits behind it, so will a
 * socket of `linux/`. No deadlines here; whoever waits sets them (`wire.ts`).
 */

export interface Conn {
  /**
   * Reads what is there into `buffer`: 1 to `buffer.length` bytes, or null when the peer has closed its
   * sending side. Rejects when the connection broke or was closed by us. One read at a time.
   */
  read(buffer: Uint8Array): Promise<number | null>;
  /** Hands over at least one byte and says how many; the rest is the caller's. One write at a time. */
  write(bytes: Uint8Array): Promise<number>;
  /** Tells the peer that nothing more will be sent; reading goes on. */
  closeWrite(): Promise<void>;
  /** Ends both directions; what waits on it rejects. Harmless when repeated. */
  close(): void;
  /** Ends the connection so that the peer can tell that it was cut, where the system allows. */
  reset(): void;
}

/** Is told what became of a read. */
export interface Reader {
  /** So many bytes came; null: the peer has closed its sending side. */
  arrived(count: number | null): void;
  /** The connection broke or was closed by us. */
  failed(error: unknown): void;
}

/**
 * A `Conn` that makes no promise of what it can do at once: on the way of a request, promises cost more
 * than the work between them.
 */
export interface TryConn extends Conn {
  /** As `read`; `reader` is told instead, before this returns if there is something to tell already. */
  readWith(buffer: Uint8Array, reader: Reader): void;
  /**
   * Hands over what is taken without waiting of the first `length` bytes, which may be nothing: how many.
   * Throws when broken.
   */
  tryWrite(bytes: Uint8Array, length: number): number;
  /** Has a read that is pending ask the system at once whether there is something. */
  look(): void;
}

/**
 * Opens a connection. Rejects with a `Fault` whose row says that nothing was sent. `onConnecting` is called
 * once, when an address is known and the first connect begins: time that passes before it is the name
 * service's, time that passes after it the peer's. It is not called after the promise has settled, and must
 * not throw.
 */
export type Dial = (signal?: AbortSignal, onConnecting?: () => void) => Promise<Conn>;
