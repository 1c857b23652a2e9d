/** What the operator gave, from one source, before it is understood; and how mistakes in it are told. */
import { closestString } from "@std/text/closest-string";
import { levenshteinDistance } from "@std/text/levenshtein-distance";
import type { Written } from "./kinds.ts";
import type { Key } from "./options.ts";

export interface RawOption {
  readonly written: Written;
  /** `flag --hosts`, `environment HOSTS`, `config.yaml line 3`. */
  readonly origin: string;
  /** Where relative paths in it begin; undefined where that is the working directory. */
  readonly folder?: string;
}

/** All that one source gives. */
export interface Layer {
  readonly entries: ReadonlyMap<Key, RawOption>;
  /** True when it may hold things meant for others, which are then no mistake. */
  readonly shared: boolean;
}

/** A `; did you mean …?` when a known word is close to this one, else nothing. */
export function didYouMean(word: string, known: readonly string[]): string {
  const closest = closestString(word, known);
  const letters = closest.replace(/^(--|FAILOVER_)/, "").length;
  const distance = levenshteinDistance(word.toLowerCase(), closest.toLowerCase());
  // Two letters in the wrong order are a distance of 2.
  return distance <= Math.max(2, letters / 3) ? `; did you mean ${closest}?` : "";
}
