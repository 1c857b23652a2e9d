export declare class Fields {
  /** How many field lines there are, in the order they came, duplicates included. */
  readonly count: number;
  /** Name of line `index` as it was spelt. Decoded on each call: keep it if needed twice. */
  name(index: number): string;
  /** Value of line `index` without surrounding white space; bytes above 0x7f as Latin-1. */
  value(index: number): string;
  /** True if line `index` has this name; `lowerName` must be in lower case. Makes no string. */
  is(index: number, lowerName: string): boolean;
  /** Index of the first line with this name at or after `from`, or -1. */
  find(lowerName: string, from?: number): number;
  /** The first value of this name. */
  get(lowerName: string): string | undefined;
  /** All members of a comma-separated list field over all its lines, trimmed, in lower case. */
  list(lowerName: string): string[];
}
