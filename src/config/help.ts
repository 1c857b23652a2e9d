/** The text of `--help`: the table of options in groups, at most 80 columns wide. */
import { COMMAND_NAMES, commandOf } from "./commands.ts";
import { flagOf, type Key, KEYS, optionOf } from "./options.ts";
import { type Option } from "./rows.ts";

const WIDTH = 80;
const TEXT_COLUMN = 30;
const COMMAND_COLUMN = 14;

/** The two forms of the command line, one line each. */
export const USAGE: readonly string[] = [
  "usage: failover --port 5432 --hosts db1:5432,db2:5432",
  "       failover --primary https://app.example --backup https://backup.example",
];

/** The whole text of `--help`. */
export function helpText(): string {
  const groups = Map.groupBy(KEYS, (key) => optionOf(key).group);
  const sections = [...groups].map(([group, keys]) => {
    const lines = keys.flatMap((key) => optionLines(key, optionOf(key)));
    return [`${group}:`, ...lines].join("\n");
  });
  return [
    USAGE.join("\n"),
    wrap(
      "Sends traffic to the first upstream that is up, moves it when that one fails, " +
        "and keeps clients waiting meanwhile.",
      WIDTH,
    ).join("\n"),
    ...sections,
    [
      "Commands to a running proxy (failover COMMAND --help says more):",
      ...COMMAND_NAMES.flatMap((name) =>
        wrap(commandOf(name).help, WIDTH - COMMAND_COLUMN).map((row, at) =>
          (at === 0 ? `  ${name}` : "").padEnd(COMMAND_COLUMN) + row
        )
      ),
    ].join("\n"),
    wrap(
      "Every option is also an environment variable (--check-interval is " +
        "FAILOVER_CHECK_INTERVAL) and a key of the YAML file (check_interval). Flags win over " +
        "the environment, the environment over the file. Times are written 250ms, 2s, 1m30s; a " +
        "bare number counts seconds. Several services in one process stand in the file, each " +
        "with its name and options under services:; the top level holds what they have in common.",
      WIDTH,
    ).join("\n"),
  ].join("\n\n");
}

function optionLines(key: Key, option: Option): string[] {
  const short = option.short === undefined ? "    " : `-${option.short}, `;
  const head = `  ${short}${flagOf(key)} ${option.kind.metavar}`.trimEnd();
  const notes = notesOf(option);
  const text = notes.length === 0 ? option.help : `${option.help} (${notes.join("; ")})`;
  const rows = wrap(text, WIDTH - TEXT_COLUMN).map((row) => " ".repeat(TEXT_COLUMN) + row);
  if (head.length > TEXT_COLUMN - 2) return [head, ...rows];
  return [head.padEnd(TEXT_COLUMN) + rows[0]!.trimStart(), ...rows.slice(1)];
}

/**
 * Facts that the group's heading and the help text do not state: mode, default, general environment name, and
 * whether a reload can change the option.
 */
export function notesOf(option: Option): string[] {
  const notes: string[] = [];
  // The heading of a mode's own group already names the mode.
  const inOwnGroup = option.group.startsWith(option.mode.toUpperCase());
  if (option.mode !== "both" && !inOwnGroup) notes.push(`${option.mode.toUpperCase()} mode only`);
  if (typeof option.default === "object") {
    const { tcp, http } = option.default;
    notes.push(`default ${tcp} in TCP mode, ${http} in HTTP mode`);
  } else if (option.default !== undefined && option.kind.metavar !== "") {
    notes.push(`default ${option.default}`);
  }
  if (option.env !== undefined) notes.push(`env ${option.env}`);
  if (option.fixed !== undefined) notes.push("a reload can't change it");
  return notes;
}

/** Breaks text at spaces into lines of at most `width` characters. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}
