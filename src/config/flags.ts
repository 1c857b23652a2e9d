/**
 * The command line, read as getopt_long(3) does: `--port 80`, `--port=80`, `-p 80`, `-p80`.
 *
 * Not by `@std/cli/parse-args`: it takes `--json-logs=maybe` for yes, eats the word `true` behind a flag
 * without value, and reads `-Ha:1` as the flags H and a.
 */
import { didYouMean, type Given, type Layer } from "./given.ts";
import { quote } from "./kinds.ts";
import { flagOf, type Key, KEYS, optionOf } from "./options.ts";

const BY_FLAG = new Map(KEYS.map((key) => [flagOf(key), key]));
const BY_LETTER = new Map(KEYS.map((key) => [optionOf(key).short, key]));

/** Reads all arguments; each mistake is one line. */
export function readFlags(args: readonly string[]): { layer: Layer; mistakes: string[] } {
  const entries = new Map<Key, Given>();
  const mistakes: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    // Runners such as `deno task` hand their own separator on.
    if (arg === "--") continue;
    const long = /^(--[^=]+)(?:=(.*))?$/s.exec(arg);
    const short = /^-([A-Za-z])=?(.+)?$/s.exec(arg);
    if (long === null && short === null) {
      mistakes.push(`Cannot use the argument ${quote(arg)}: every option begins with - or --`);
      continue;
    }
    const spelling = long?.[1] ?? `-${short![1]}`;
    const key = long !== null ? BY_FLAG.get(spelling) : BY_LETTER.get(short![1]);
    let value = long !== null ? long[2] : short![2];
    const takesValue = key === undefined || optionOf(key).kind.metavar !== "";
    if (value === undefined && takesValue && isValue(args[i + 1])) value = args[++i];
    if (key === undefined) {
      mistakes.push(`Unknown flag ${spelling}${didYouMean(spelling, [...BY_FLAG.keys()])}`);
    } else if (takesValue && (value ?? "") === "") {
      mistakes.push(`Flag ${spelling} needs a value: ${optionOf(key).kind.metavar}`);
    } else {
      const given = { written: value ?? "on", origin: `flag ${flagOf(key)}` };
      add(entries, key, given, mistakes);
    }
  }
  return { layer: { entries, shared: false }, mistakes };
}

function isValue(arg: string | undefined): boolean {
  return arg !== undefined && !/^-./.test(arg);
}

function add(entries: Map<Key, Given>, key: Key, given: Given, mistakes: string[]): void {
  const before = entries.get(key);
  if (before === undefined) {
    entries.set(key, given);
  } else if (optionOf(key).kind.isList) {
    entries.set(key, { ...given, written: `${before.written},${given.written}` });
  } else {
    mistakes.push(`Flag ${flagOf(key)} is given more than once`);
  }
}
