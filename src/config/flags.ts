/**
 * The command line, by `@std/cli/parse-args`. Two spellings that it reads otherwise than a user of other
 * programs means are brought into its own first: a letter with its value attached (`-p80`), and a switch
 * with a value (`--json-logs=off`), which it would take for yes whatever it says.
 */
import { parseArgs } from "@std/cli/parse-args";
import { didYouMean, type Given, type Layer } from "./given.ts";
import { quote } from "./kinds.ts";
import { flagOf, type Key, KEYS, optionOf } from "./options.ts";

const isSwitch = (key: Key) => optionOf(key).kind.metavar === "";
const nameOf = (key: Key) => flagOf(key).slice("--".length);
const SWITCHES = KEYS.filter(isSwitch);
const VALUED = KEYS.filter((key) => !isSwitch(key));
const LETTERS = new Map(KEYS.map((key) => [optionOf(key).short, key]));

/** Reads all arguments; each mistake is one line. */
export function readFlags(args: readonly string[]): { layer: Layer; mistakes: string[] } {
  const mistakes: string[] = [];
  const entries = new Map<Key, Given>();
  const { rest, switched } = tidy(args);
  const parsed = parseArgs(rest, {
    string: VALUED.map(nameOf),
    boolean: SWITCHES.map(nameOf),
    collect: KEYS.map(nameOf),
    alias: Object.fromEntries([...LETTERS].flatMap(([l, key]) => l ? [[l, nameOf(key)]] : [])),
    unknown(arg, key) {
      mistakes.push(unknownLine(arg, key));
      return false;
    },
  });
  for (const key of KEYS) {
    // What was collected: texts of a valued flag, `true` for each bare switch.
    const found = parsed[nameOf(key)] as readonly (string | boolean)[];
    const values = [...found.map((v) => v === true ? "on" : String(v)), ...switched.get(key) ?? []];
    const written = values.join(",");
    if (values.length === 0) continue;
    if (values.includes("")) mistakes.push(needsValue(key));
    else if (values.length > 1 && !optionOf(key).kind.isList) {
      mistakes.push(`Flag ${flagOf(key)} is given more than once`);
    } else entries.set(key, { written, origin: `flag ${flagOf(key)}` });
  }
  return { layer: { entries, shared: false }, mistakes };
}

function tidy(args: readonly string[]): { rest: string[]; switched: Map<Key, string[]> } {
  const rest: string[] = [];
  const switched = new Map<Key, string[]>();
  for (const arg of args) {
    const [, flag, value] = /^(--[^=]+)=(.*)$/s.exec(arg) ?? [];
    const [, letter, attached] = /^-([A-Za-z])=?(.+)$/s.exec(arg) ?? [];
    const key = SWITCHES.find((key) => flagOf(key) === flag);
    const valued = letter === undefined ? undefined : LETTERS.get(letter);
    // Runners such as `deno task` hand their own separator on.
    if (arg === "--") continue;
    if (key !== undefined) switched.set(key, [...switched.get(key) ?? [], value!]);
    else if (valued !== undefined && !isSwitch(valued)) rest.push(`${flagOf(valued)}=${attached}`);
    else rest.push(arg);
  }
  return { rest, switched };
}

function unknownLine(arg: string, name: string | undefined): string {
  if (name === undefined) {
    return `Cannot use the argument ${quote(arg)}: every option begins with - or --`;
  }
  const emptied = KEYS.find((key) => arg === `${flagOf(key)}=`);
  if (emptied !== undefined) return needsValue(emptied);
  const spelling = arg.replace(/=.*$/s, "");
  return `Unknown flag ${spelling}${didYouMean(spelling, KEYS.map(flagOf))}`;
}

function needsValue(key: Key): string {
  return `Flag ${flagOf(key)} needs a value: ${optionOf(key).kind.metavar}`;
}
