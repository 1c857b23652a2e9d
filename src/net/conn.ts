/**
 * A connection as HTTP/1.1 needs it. `deno/conn.ts` implements it with Deno's sockets, `linux/conn.ts` with
 * sockets of the kernel. It has no deadlines: the caller that waits sets them (`http1/buffered_conn.ts`).
 */

/** An open connection. Its owner must call `close` or `reset` in the end. */
export interface Conn {
  /**
   * Reads available bytes into `buffer`. Resolves with their number, 1 to `buffer.length`, or with null when
   * the peer has closed its sending side. Rejects when the connection broke or `close` was called. Only one
   * read at a time.
   */
  read(buffer: Uint8Array): Promise<number | null>;
  /** Writes at least one byte and resolves with how many; the caller writes the rest. Only one write at a time. */
  write(bytes: Uint8Array): Promise<number>;
  /** Closes the sending side (a FIN); reading goes on. */
  closeWrite(): Promise<void>;
  /** Closes both directions; pending reads and writes reject. May be repeated. */
  close(): void;
  /** Closes with a RST where the system allows it, so that the peer sees an error and not an end. */
  reset(): void;
}

/** Receives the result of a read. */
export interface Reader {
  /**
   * The buffer to read into, at least one byte. Called only when there is something to read, so that a connection
   * that waits needs no buffer.
   */
  room(): Uint8Array;
  /** `count` bytes were read into the last `room`; null: the peer has closed its sending side. */
  arrived(count: number | null): void;
  /** The connection broke, or `close` was called. */
  failed(error: unknown): void;
}

/**
 * A `Conn` that completes synchronously where possible, without a Promise: while a request is forwarded,
 * promises cost more than the work between them.
 */
export interface TryConn extends Conn {
  /** As `read`, but calls `reader`, which happens before this returns if bytes are available. */
  readWith(reader: Reader): void;
  /**
   * Writes as many of the first `length` bytes as the socket accepts without waiting. Returns their number,
   * which may be 0. Throws if the connection is broken.
   */
  tryWrite(bytes: Uint8Array, length: number): number;
  /**
   * Makes a pending read try the socket at once. `isExact`: false if it is enough to know what had come by the
   * beginning of this tick, a millisecond ago at most while there is traffic; that needs no system call.
   */
  look(isExact: boolean): void;
  /**
   * Reads nothing until `thaw`, so that another process can go on with the socket. Returns its descriptor; -1 if that is
   * not possible now. Closing it does not end a connection that another process has as well.
   */
  freeze?(): number;
  /** Goes on after `freeze`. */
  thaw?(): void;
}

/**
 * Opens a connection. Rejects with a `Fault` whose row says that nothing was sent. `onConnecting` is called
 * once, when an address is known and the first connect begins: time that passes before it is the name
 * service's, time that passes after it the peer's. It is not called after the promise has settled, and must
 * not throw.
 */
export type Dial = (signal?: AbortSignal, onConnecting?: () => void) => Promise<Conn>;
