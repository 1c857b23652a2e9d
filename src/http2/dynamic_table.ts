/** The dynamic table of HPACK (RFC 7541 sections 2.3.2 and 4), as a decoder keeps it. */
import type { TableEntry } from "./static_table.ts";

/** What each entry counts in addition to its bytes, RFC 7541 section 4.1. */
const ENTRY_BYTES = 32;

/** The newest entry is the first. */
export class DynamicTable {
  /** A ring: the newest entry is at `#newest`, older ones follow at higher places. */
  readonly #ring: (TableEntry | undefined)[];
  #newest = 0;
  #count = 0;
  #bytes = 0;
  #bytesMax: number;

  /** `bytesMax`: its size, as RFC 7541 counts it, and the limit of `resize`. */
  constructor(readonly bytesLimit: number) {
    this.#bytesMax = bytesLimit;
    this.#ring = new Array(Math.floor(bytesLimit / ENTRY_BYTES) + 1);
  }

  get count(): number {
    return this.#count;
  }

  /** Its size now, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The entry with this index, of which the newest has 0; undefined if there are not so many. */
  at(index: number): TableEntry | undefined {
    return index < this.#count ? this.#ring[this.#place(index)] : undefined;
  }

  /** Adds an entry, for which the oldest ones go. One that is larger than the table empties it. */
  add(entry: TableEntry): void {
    const size = entry.name.length + entry.value.length + ENTRY_BYTES;
    this.#shrinkTo(this.#bytesMax - size);
    if (size > this.#bytesMax) return;
    this.#newest = (this.#newest + this.#ring.length - 1) % this.#ring.length;
    this.#ring[this.#newest] = entry;
    this.#count++;
    this.#bytes += size;
  }

  /** Sets its largest size; false if that is beyond the limit. */
  resize(bytesMax: number): boolean {
    if (bytesMax > this.bytesLimit) return false;
    this.#bytesMax = bytesMax;
    this.#shrinkTo(bytesMax);
    return true;
  }

  #shrinkTo(bytes: number): void {
    while (this.#count > 0 && this.#bytes > bytes) {
      const place = this.#place(--this.#count);
      const { name, value } = this.#ring[place]!;
      this.#ring[place] = undefined;
      this.#bytes -= name.length + value.length + ENTRY_BYTES;
    }
  }

  #place(index: number): number {
    return (this.#newest + index) % this.#ring.length;
  }
}
