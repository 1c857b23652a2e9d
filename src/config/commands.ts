/**
 * The table of the operator's commands (`failover COMMAND`), the only place that lists them. Each row determines
 * how the arguments are read, the `--help`, the completions and the entry in the manual page. What a command
 * does is in `commands/`, which is loaded only if there is a command.
 */

/** A flag of a command. */
export interface CommandFlag {
  /** Placeholder for the value; empty for a switch. */
  readonly metavar: string;
  readonly help: string;
  readonly required?: true;
  /** It may be given several times. */
  readonly isMany?: true;
}

/** One row of the table of commands. */
export interface Command {
  readonly help: string;
  /** The arguments after the name: `HOST` is required, `[ID]` is not. */
  readonly operands: readonly string[];
  readonly flags: Readonly<Record<string, CommandFlag>>;
  /** Exit codes in addition to those that all commands have. */
  readonly exits: Readonly<Record<number, string>>;
}

const REASON = { metavar: "TEXT", help: "Why, for the log" } as const;
const DONE = { 0: "it is done", 1: "it was refused, or failed" } as const;
const STATE_DIR = {
  metavar: "PATH",
  help: "Read this state folder; no proxy needs to run",
} as const;
const SERVICE = "[SERVICE]";

/** All commands of the operator, in the order of `--help`. */
export const COMMANDS = {
  status: {
    help: "Show what each service is doing, since when, and why",
    operands: [SERVICE],
    flags: {},
    exits: { 0: "the primary serves", 1: "a backup serves", 2: "no upstream serves" },
  },
  watch: {
    help: "Show the same and redraw it live; not in a terminal, print a line for each event",
    operands: [SERVICE],
    flags: {},
    exits: {},
  },
  switchover: {
    help: "Move the traffic to an upstream that is up, and wait for the end of the move",
    operands: [SERVICE],
    flags: {
      to: { metavar: "HOST", help: "The upstream, as it is configured", required: true },
      "max-wait": {
        metavar: "TIME",
        help: "Longest wait for sessions to become quiet, while new clients are held",
      },
      reason: REASON,
    },
    exits: DONE,
  },
  failback: {
    help: "Move the traffic to the best upstream that is up, and wait for the end of the move",
    operands: [SERVICE],
    flags: { reason: REASON },
    exits: DONE,
  },
  pause: {
    help: "Make no automatic decision until resume",
    operands: [SERVICE],
    flags: { reason: REASON },
    exits: DONE,
  },
  resume: {
    help: "Make automatic decisions again",
    operands: [SERVICE],
    flags: { reason: REASON },
    exits: DONE,
  },
  hold: {
    help: "Let new clients wait until release",
    operands: [SERVICE],
    flags: {
      max: { metavar: "TIME", help: "Release them after this time at the latest; default --hold" },
      reason: REASON,
    },
    exits: DONE,
  },
  release: {
    help: "Let new clients in again",
    operands: [SERVICE],
    flags: { reason: REASON },
    exits: DONE,
  },
  drain: {
    help: "Choose this upstream no more; its sessions go on",
    operands: ["HOST", SERVICE],
    flags: { reason: REASON },
    exits: DONE,
  },
  undrain: {
    help: "Let this upstream be chosen again",
    operands: ["HOST", SERVICE],
    flags: { reason: REASON },
    exits: DONE,
  },
  reload: {
    help:
      "Read the config file again, with the environment and the flags of the start, and put it into force: completely, or not at all",
    operands: [],
    flags: {
      "dry-run": { metavar: "", help: "Only say what would change" },
    },
    exits: {
      0: "it is in force, or nothing has changed",
      2: "it has mistakes, or cannot be put into force; nothing has changed",
    },
  },
  page: {
    help: "Say how to open the page of the running proxy in a browser",
    operands: [],
    flags: {},
    exits: {},
  },
  history: {
    help:
      "List the incidents, reloads and upgrades, or show one: for an incident its moments, its evidence, and what it cost",
    operands: ["[ID]"],
    flags: { "state-dir": STATE_DIR },
    exits: { 1: "no such incident is remembered" },
  },
  replay: {
    help:
      "Show what was decided in an incident, and with --with what would have been decided with other options",
    operands: ["ID"],
    flags: {
      with: {
        metavar: "OPTION=VALUE",
        help: "An option of the proxy, such as fail_threshold=2; may be given several times",
        isMany: true,
      },
      "state-dir": STATE_DIR,
    },
    exits: { 1: "there is no such incident, or its inputs are not kept", 2: "a --with is wrong" },
  },
  drill: {
    help:
      "Check every standby at once and show who would take over, why, and how long it would take; nothing moves",
    operands: [SERVICE],
    flags: {
      "run-triggers": {
        metavar: "",
        help:
          "Also run the triggers, with FAILOVER_EVENT=drill: one that does not look at that promotes for real",
      },
      reason: REASON,
    },
    exits: {
      0: "somebody would take over",
      1: "nobody would, a trigger failed, or it was refused",
    },
  },
  upgrade: {
    help:
      "Let a new process take over from the running one, without refusing or losing a client; PATH is the new executable, by default that of the running process",
    operands: ["[PATH]"],
    flags: {},
    exits: {
      0: "the new process serves",
      2: "it was refused, or the new process could not take over; nothing has changed",
    },
  },
  explain: {
    help:
      "Show how long each kind of fault keeps clients waiting with these options of the proxy, and what is dangerous in them; needs no running proxy",
    operands: ["[OPTION...]"],
    flags: {},
    exits: { 2: "the options are wrong" },
  },
} as const satisfies Record<string, Command>;

/** The name of a command, as it is typed. */
export type CommandName = keyof typeof COMMANDS;

/** All names, in the order of the table. */
export const COMMAND_NAMES = Object.keys(COMMANDS) as readonly CommandName[];

/** Flags of every command. */
export const COMMON_FLAGS: Readonly<Record<string, CommandFlag>> = {
  json: { metavar: "", help: "Print JSON" },
  control: {
    metavar: "PATH",
    help: "The control socket of the proxy, if it is not in its default place",
  },
  help: { metavar: "", help: "Print this text, and end" },
};

/** Exit codes of every command. */
export const EXIT_NO_PROCESS = 3;

/** The command line is wrong (`EX_USAGE` of sysexits(3)). */
export const EXIT_USAGE = 64;

/** What the exit codes of every command mean. */
export const COMMON_EXITS: Readonly<Record<number, string>> = {
  [EXIT_NO_PROCESS]: "no proxy can be reached",
  [EXIT_USAGE]: "the command line is wrong",
};

/** The row of a command, with its type widened. */
export function commandOf(name: CommandName): Command {
  return COMMANDS[name];
}

/** True if this word, the first argument, is a command and not an option. */
export function isCommand(word: string | undefined): word is CommandName {
  return word !== undefined && Object.hasOwn(COMMANDS, word);
}

/** All flags of a command, without their dashes. */
export function flagsOf(name: CommandName): Readonly<Record<string, CommandFlag>> {
  return { ...commandOf(name).flags, ...COMMON_FLAGS };
}

/** All exit codes of a command. */
export function exitsOf(name: CommandName): Readonly<Record<number, string>> {
  return { ...commandOf(name).exits, ...COMMON_EXITS };
}

/** `failover drain HOST [SERVICE] [--reason TEXT] …`. */
export function synopsisOf(name: CommandName): string {
  const flags = Object.entries(flagsOf(name)).filter(([flag]) => flag !== "help").map(
    ([flag, { metavar, required, isMany }]) => {
      const text = `--${flag}${metavar === "" ? "" : ` ${metavar}`}`;
      return required ? text : `[${text}]${isMany ? "..." : ""}`;
    },
  );
  return ["failover", name, ...commandOf(name).operands, ...flags].join(" ");
}

/** The text of `failover COMMAND --help`. */
export function commandHelp(name: CommandName): string {
  const flags = Object.entries(flagsOf(name)).map(([flag, { metavar, help }]) =>
    `  ${`--${flag} ${metavar}`.padEnd(20)}${help}`
  );
  const exits = Object.entries(exitsOf(name)).map(([code, meaning]) =>
    `  ${code.padEnd(4)}${meaning}`
  );
  return [
    `usage: ${synopsisOf(name)}`,
    "",
    `${commandOf(name).help}.`,
    "",
    ...flags,
    "",
    "Exit codes:",
    ...exits,
  ].join("\n");
}
