/** Raw options: values of one source before they are interpreted, each with its origin for error lines. */
import { closestString } from "@std/text/closest-string";
import { levenshteinDistance } from "@std/text/levenshtein-distance";
import type { Written } from "./kinds.ts";
import type { Key } from "./options.ts";

/** The value of one option as it was written, and where. */
export interface RawOption {
  readonly written: Written;
  /** `flag --hosts`, `environment HOSTS`, `config.yaml line 3`. */
  readonly origin: string;
  /** The folder from which relative paths are taken; undefined for the working directory. */
  readonly folder?: string;
}

/** The raw options of one source. */
export interface Layer {
  readonly entries: ReadonlyMap<Key, RawOption>;
  /**
   * True if an option of the other mode is no error here, because other services or programs use this
   * source too.
   */
  readonly shared: boolean;
}

/** Returns `; did you mean …?` if a known word is similar to this one, else an empty string. */
export function didYouMean(word: string, known: readonly string[]): string {
  const closest = closestString(word, known);
  const letters = closest.replace(/^(--|FAILOVER_)/, "").length;
  const distance = levenshteinDistance(word.toLowerCase(), closest.toLowerCase());
  // Two swapped letters are a Levenshtein distance of 2.
  return distance <= Math.max(2, letters / 3) ? `; did you mean ${closest}?` : "";
}
