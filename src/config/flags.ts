/**
 * Options from the command line, parsed by `@std/cli/parse-args`. Spellings that users know from other
 * programs and that the library reads differently are normalised first: a short flag with its value
 * attached (`-p80`); a switch with a value (`--json-logs=off`), which the library takes for true whatever
 * the value is; and a value that begins with a dash (`--hold -5s`), which it takes for a group of short
 * flags.
 */
import { parseArgs } from "@std/cli/parse-args";
import { didYouMean, type Layer, type RawOption } from "./raw_option.ts";
import { COMMANDS } from "./commands.ts";
import { quote } from "./kinds.ts";
import { flagOf, type Key, KEYS, optionOf } from "./options.ts";

const isSwitch = (key: Key) => optionOf(key).kind.metavar === "";
const nameOf = (key: Key) => flagOf(key).slice("--".length);
const SWITCHES = KEYS.filter(isSwitch);
const VALUED = KEYS.filter((key) => !isSwitch(key));
const COMMAND_NAMES = Object.keys(COMMANDS);
const LETTERS = new Map(KEYS.map((key) => [optionOf(key).short, key]));

/** Reads all arguments. Each error is one line; one bad argument does not hide the others. */
export function readFlags(args: readonly string[]): { layer: Layer; errors: string[] } {
  const errors: string[] = [];
  const entries = new Map<Key, RawOption>();
  const { rest, switched } = tidy(args);
  const parsed = parseArgs(rest, {
    string: VALUED.map(nameOf),
    boolean: SWITCHES.map(nameOf),
    collect: KEYS.map(nameOf),
    alias: Object.fromEntries([...LETTERS].flatMap(([l, key]) => l ? [[l, nameOf(key)]] : [])),
    unknown(arg, key) {
      const line = unknownLine(arg, key);
      // The library calls this once for each letter of a group such as `-xyz`.
      if (!errors.includes(line)) errors.push(line);
      return false;
    },
  });
  for (const key of KEYS) {
    // Collected values: strings for a flag with a value, `true` for each bare switch.
    const found = parsed[nameOf(key)] as readonly (string | boolean)[];
    const values = [...found.map((v) => v === true ? "on" : String(v)), ...switched.get(key) ?? []];
    const written = values.join(",");
    if (values.length === 0) continue;
    if (values.includes("")) errors.push(needsValue(key));
    else if (values.length > 1 && !optionOf(key).kind.isList) {
      errors.push(`Flag ${flagOf(key)} is given more than once`);
    } else entries.set(key, { written, origin: `flag ${flagOf(key)}` });
  }
  return { layer: { entries, shared: false }, errors };
}

/**
 * The arguments in the spelling that `parseArgs` expects, and separately the values of switches, which it
 * cannot read.
 */
function tidy(args: readonly string[]): { rest: string[]; switched: Map<Key, string[]> } {
  const rest: string[] = [];
  const switched = new Map<Key, string[]>();
  for (let at = 0; at < args.length; at++) {
    const arg = args[at]!;
    // Runners such as `deno task` pass their own `--` separator on to the program.
    if (arg === "--") continue;
    const [, flag, value] = /^(--[^=]+)=(.*)$/s.exec(arg) ?? [];
    const [, letter, equals, attached] = /^-([A-Za-z])(=?)(.*)$/s.exec(arg) ?? [];
    const key = SWITCHES.find((key) => flagOf(key) === flag);
    const valued = letter === undefined
      ? VALUED.find((key) => flagOf(key) === arg)
      : VALUED.find((key) => optionOf(key).short === letter);
    const next = args[at + 1];
    // The value behind an unknown flag is not reported as a second error.
    if (!isFlag(arg) && arg.startsWith("-") && isUnknown(rest.at(-1))) continue;
    if (key !== undefined) switched.set(key, [...switched.get(key) ?? [], value!]);
    else if (valued === undefined) rest.push(arg);
    else if (equals || attached) rest.push(`${flagOf(valued)}=${attached}`);
    else if (next === undefined || isFlag(next)) rest.push(`${flagOf(valued)}=`);
    else rest.push(`${flagOf(valued)}=${args[++at]}`);
  }
  return { rest, switched };
}

/** Whether an argument is an unknown flag without an attached value. */
function isUnknown(arg: string | undefined): boolean {
  return arg !== undefined && /^--[^=]+$/.test(arg) && !KEYS.some((key) => flagOf(key) === arg);
}

/** Whether an argument is a flag, and not a value that begins with a dash, such as `-5s` or `-`. */
function isFlag(arg: string): boolean {
  return /^--|^-[A-Za-z]/.test(arg);
}

function unknownLine(arg: string, name: string | undefined): string {
  if (name === undefined) {
    const why = COMMAND_NAMES.includes(arg)
      ? ": a command stands before its options, and takes none of the proxy"
      : didYouMean(arg, COMMAND_NAMES) || ": every option begins with - or --";
    return `Cannot use the argument ${quote(arg)}${why}`;
  }
  const spelling = arg.replace(/=.*$/s, "");
  return `Unknown flag ${spelling}${didYouMean(spelling, KEYS.map(flagOf))}`;
}

function needsValue(key: Key): string {
  return `Flag ${flagOf(key)} needs a value: ${optionOf(key).kind.metavar}`;
}
