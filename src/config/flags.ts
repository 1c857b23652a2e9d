/**
 * The command line, by `@std/cli/parse-args`. What it reads otherwise than a user of other programs means
 * is brought into its own spelling first: a letter with its value attached (`-p80`), a switch with a value
 * (`--json-logs=off`), which it would take for yes whatever it says, and a value that begins with a dash
 * (`--hold -5s`), which it would take for a row of letters.
 */
import { parseArgs } from "@std/cli/parse-args";
import { didYouMean, type Layer, type RawOption } from "./raw_option.ts";
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
  const entries = new Map<Key, RawOption>();
  const { rest, switched } = tidy(args);
  const parsed = parseArgs(rest, {
    string: VALUED.map(nameOf),
    boolean: SWITCHES.map(nameOf),
    collect: KEYS.map(nameOf),
    alias: Object.fromEntries([...LETTERS].flatMap(([l, key]) => l ? [[l, nameOf(key)]] : [])),
    unknown(arg, key) {
      const line = unknownLine(arg, key);
      // It is called for each letter of a row of them.
      if (!mistakes.includes(line)) mistakes.push(line);
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

/** The arguments as `parseArgs` wants them, and the values of switches, which it cannot take. */
function tidy(args: readonly string[]): { rest: string[]; switched: Map<Key, string[]> } {
  const rest: string[] = [];
  const switched = new Map<Key, string[]>();
  for (let at = 0; at < args.length; at++) {
    const arg = args[at]!;
    // Runners such as `deno task` hand their own separator on.
    if (arg === "--") continue;
    const [, flag, value] = /^(--[^=]+)=(.*)$/s.exec(arg) ?? [];
    const [, letter, equals, attached] = /^-([A-Za-z])(=?)(.*)$/s.exec(arg) ?? [];
    const key = SWITCHES.find((key) => flagOf(key) === flag);
    const valued = letter === undefined
      ? VALUED.find((key) => flagOf(key) === arg)
      : VALUED.find((key) => optionOf(key).short === letter);
    const next = args[at + 1];
    // The value of a flag that nobody knows is no mistake of its own.
    if (!isFlag(arg) && arg.startsWith("-") && isUnknown(rest.at(-1))) continue;
    if (key !== undefined) switched.set(key, [...switched.get(key) ?? [], value!]);
    else if (valued === undefined) rest.push(arg);
    else if (equals || attached) rest.push(`${flagOf(valued)}=${attached}`);
    else if (next === undefined || isFlag(next)) rest.push(`${flagOf(valued)}=`);
    else rest.push(`${flagOf(valued)}=${args[++at]}`);
  }
  return { rest, switched };
}

/** Whether an argument is a flag that there isn't, without a value attached to it. */
function isUnknown(arg: string | undefined): boolean {
  return arg !== undefined && /^--[^=]+$/.test(arg) && !KEYS.some((key) => flagOf(key) === arg);
}

/** Whether an argument is a flag rather than a value that begins with a dash, as `-5s` and `-` are. */
function isFlag(arg: string): boolean {
  return /^--|^-[A-Za-z]/.test(arg);
}

function unknownLine(arg: string, name: string | undefined): string {
  if (name === undefined) {
    return `Cannot use the argument ${quote(arg)}: every option begins with - or --`;
  }
  const spelling = arg.replace(/=.*$/s, "");
  return `Unknown flag ${spelling}${didYouMean(spelling, KEYS.map(flagOf))}`;
}

function needsValue(key: Key): string {
  return `Flag ${flagOf(key)} needs a value: ${optionOf(key).kind.metavar}`;
}
