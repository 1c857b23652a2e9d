/** A connection of which some bytes were read already, for another user: it reads these first. */
import type { Conn, Reader, TryConn } from "./conn.ts";

/** A `Conn` that gives `rest` before what `conn` reads. It is a `TryConn` if `conn` is one. Owns `conn`. */
export function withReadAhead(
  conn: Conn & Partial<TryConn>,
  rest: Uint8Array,
): Conn & Partial<TryConn> {
  if (rest.length === 0) return conn;
  return isTryConn(conn) ? new TryReadAhead(conn, rest) : new ReadAhead(conn, rest);
}

function isTryConn(conn: Conn & Partial<TryConn>): conn is TryConn {
  return conn.readWith !== undefined;
}

class ReadAhead<C extends Conn> implements Conn {
  protected readonly conn: C;
  #rest: Uint8Array;

  constructor(conn: C, rest: Uint8Array) {
    this.conn = conn;
    this.#rest = rest;
  }

  /** Copies what is left of the bytes that were read ahead; 0 if nothing is. */
  protected takeRest(buffer: Uint8Array): number {
    const count = Math.min(buffer.length, this.#rest.length);
    buffer.set(this.#rest.subarray(0, count));
    this.#rest = this.#rest.subarray(count);
    return count;
  }

  protected get hasRest(): boolean {
    return this.#rest.length > 0;
  }

  read(buffer: Uint8Array): Promise<number | null> {
    return this.hasRest ? Promise.resolve(this.takeRest(buffer)) : this.conn.read(buffer);
  }

  write(bytes: Uint8Array): Promise<number> {
    return this.conn.write(bytes);
  }

  closeWrite(): Promise<void> {
    return this.conn.closeWrite();
  }

  close(): void {
    this.conn.close();
  }

  reset(): void {
    this.conn.reset();
  }
}

class TryReadAhead extends ReadAhead<TryConn> implements TryConn {
  readWith(reader: Reader): void {
    if (this.hasRest) reader.arrived(this.takeRest(reader.room()));
    else this.conn.readWith(reader);
  }

  tryWrite(bytes: Uint8Array, length: number): number {
    return this.conn.tryWrite(bytes, length);
  }

  look(isExact: boolean): void {
    this.conn.look(isExact);
  }
}
