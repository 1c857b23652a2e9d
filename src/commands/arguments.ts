/** Reads the arguments of a command by its row in the table. Pure. */
import { parseArgs } from "@std/cli/parse-args";
import { type CommandName, commandOf, flagsOf } from "../config/commands.ts";

/** The arguments of a command. */
export interface Arguments {
  /** By the name of the operand, without brackets: `HOST`, `SERVICE`, `ID`. */
  readonly operands: Readonly<Record<string, string>>;
  /** Values of flags, by name without dashes. */
  readonly values: Readonly<Record<string, string>>;
  /** Values of flags that may be given several times. */
  readonly lists: Readonly<Record<string, readonly string[]>>;
  /** Switches of its own that were given, by name. */
  readonly switches: ReadonlySet<string>;
  readonly json: boolean;
  readonly help: boolean;
}

/** The arguments behind the name of a command, or what is wrong with them, for a person. */
export function readArguments(name: CommandName, args: readonly string[]): Arguments | string {
  const flags = Object.entries(flagsOf(name));
  const unknown: string[] = [];
  const valued = flags.filter(([, { metavar }]) => metavar !== "").map(([flag]) => flag);
  const parsed = parseArgs(args.filter((arg) => arg !== "--"), {
    string: [...valued, "_"],
    boolean: flags.filter(([, { metavar }]) => metavar === "").map(([flag]) => flag),
    collect: valued,
    alias: { help: "h" },
    unknown(arg, key) {
      if (key === undefined) return true;
      unknown.push(arg.replace(/=.*$/s, ""));
      return false;
    },
  });
  const help = Boolean(parsed.help);
  const json = Boolean(parsed.json);
  const switches = new Set(
    Object.entries(commandOf(name).flags).flatMap(([flag, { metavar }]) =>
      metavar === "" && (parsed as Record<string, unknown>)[flag] === true ? [flag] : []
    ),
  );
  if (help) return { operands: {}, values: {}, lists: {}, switches, json, help };
  if (unknown.length > 0) return `${name} has no flag ${unknown[0]}`;
  const values: Record<string, string> = {};
  const lists: Record<string, readonly string[]> = {};
  for (const [flag, { metavar, required, isMany }] of flags) {
    if (metavar === "") continue;
    const given = (parsed as Record<string, unknown>)[flag] as readonly string[] | undefined ?? [];
    if (given.length > 1 && !isMany) return `--${flag} is given more than once`;
    if (given.includes("")) return `--${flag} needs a value: ${metavar}`;
    if (isMany) lists[flag] = given;
    else if (given[0] !== undefined) values[flag] = given[0];
    else if (required) return `${name} needs --${flag} ${metavar}`;
  }
  const operands = operandsOf(name, parsed._.map(String));
  return typeof operands === "string"
    ? operands
    : { operands, values, lists, switches, json, help };
}

function operandsOf(name: CommandName, words: readonly string[]): Record<string, string> | string {
  const wanted = commandOf(name).operands;
  if (words.length > wanted.length) return `${name} cannot use ${JSON.stringify(words.at(-1))}`;
  const missing = wanted.slice(words.length).find((each) => !each.startsWith("["));
  if (missing !== undefined) return `${name} needs ${missing}`;
  return Object.fromEntries(words.map((word, at) => [wanted[at]!.replace(/[[\]]/g, ""), word]));
}
