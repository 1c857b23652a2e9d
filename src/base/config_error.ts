/**
 * The result of reading a piece of text that a person wrote: a value, or what was expected instead.
 * Parsers in `base/` return it and never throw; `config/resolve.ts` adds where the text came from.
 */

/** Says what a text should have been, as the end of the sentence "expected …". */
export class ConfigError {
  /**
   * `found` names the part that is wrong, for a line about it, where that is less than the whole text;
   * `others` are further errors in the same text.
   */
  constructor(
    readonly expected: string,
    readonly found?: string,
    readonly others: readonly ConfigError[] = [],
  ) {}
}

/** A value, or the `ConfigError` that stood in its place. */
export type Parsed<T> = T | ConfigError;
