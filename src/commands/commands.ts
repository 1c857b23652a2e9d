/**
 * The operator's commands: each talks to a running proxy over its control socket, prints what it learned, and
 * returns the exit code. The table of them is in `config/commands.ts`.
 */
import { realClock, sleep } from "../base/clock.ts";
import {
  commandHelp,
  type CommandName,
  EXIT_NO_PROCESS,
  EXIT_USAGE,
  synopsisOf,
} from "../config/commands.ts";
import { type Arguments, readArguments } from "./arguments.ts";
import { connect, type Connection, NoProcess } from "./connection.ts";
import { eventLine, eventsText, historyCommand, type PastEvent } from "./history.ts";
import { drillCommand } from "./drill.ts";
import { EXIT_READER_GONE, OutputFailed } from "./output.ts";
import { pageCommand } from "./page.ts";
import { printRefusal } from "./refusal.ts";
import { reloadCommand } from "./reload.ts";
import { replayCommand } from "./replay.ts";
import { recordsIn, recordsOf } from "./records.ts";
import { upgradeCommand } from "./upgrade.ts";
import { exitCodeOf, processText, servicesOf } from "./report.ts";

/** In characters. */
export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** Where a command prints, and when it must end. */
export interface CommandIo {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** True if `out` is a terminal, which can be redrawn. */
  readonly isTerminal: boolean;
  /** The present size of that terminal; undefined if it has none. */
  readonly size?: () => TerminalSize | undefined;
  /** Aborted when the user ends a command that goes on by itself. */
  readonly stop: AbortSignal;
}

/** The longest time between two redraws of `watch`, in milliseconds. */
const REDRAW_MS = 1_000;
/** How many of the last events the picture of `watch` shows. */
const EVENTS_SHOWN = 8;
/** Moves the cursor to the top left and clears what is below (ECMA-48: CUP, ED). */
const REDRAW = "\x1b[H\x1b[J";

/** Carries out one command. `places` are the control sockets to try, best first. */
export async function runCommand(
  name: Exclude<CommandName, "explain">,
  args: readonly string[],
  places: readonly string[],
  io: CommandIo,
): Promise<number> {
  const given = readArguments(name, args);
  if (typeof given === "string") {
    io.err(`failover: ${given}`);
    io.err(`usage: ${synopsisOf(name)}`);
    return EXIT_USAGE;
  }
  if (given.help) {
    io.out(commandHelp(name));
    return 0;
  }
  const { control, "state-dir": folder } = given.values;
  try {
    if (folder !== undefined) {
      const show = name === "replay" ? replayCommand : historyCommand;
      return await show(given, await recordsIn(folder), io);
    }
    using connection = await connect(control === undefined ? places : [control]);
    switch (name) {
      case "status":
        return await status(given, connection, io);
      case "watch":
        return await watch(given, connection, io);
      case "page":
        return await pageCommand(given, connection, io);
      case "history":
        return await historyCommand(given, recordsOf(connection), io);
      case "reload":
        return await reloadCommand(given, connection, io);
      case "drill":
        return await drillCommand(given, connection, io);
      case "upgrade":
        return await upgradeCommand(given, connection, io);
      case "replay":
        return await replayCommand(given, recordsOf(connection), io);
      default:
        return await order(name, given, connection, io);
    }
  } catch (error) {
    if (error instanceof OutputFailed) return outputFailed(error, io);
    if (!(error instanceof NoProcess)) throw error;
    io.err(`failover: ${error.message}`);
    return EXIT_NO_PROCESS;
  }
}

/** The exit code of a command that cannot print. */
function outputFailed({ isReaderGone, message }: OutputFailed, io: CommandIo): number {
  if (isReaderGone) return EXIT_READER_GONE;
  io.err(`failover: cannot print: ${message}`);
  return 1;
}

function statePath({ operands: { SERVICE } }: Arguments): string {
  return SERVICE === undefined ? "state" : `state?${new URLSearchParams({ service: SERVICE })}`;
}

async function status(given: Arguments, connection: Connection, io: CommandIo): Promise<number> {
  const answer = await connection.ask(statePath(given));
  if (answer.status !== 200) return printRefusal(answer, io, given.json);
  const services = servicesOf(answer.body);
  io.out(
    given.json ? JSON.stringify(answer.body, null, 2) : processText(answer.body, realClock.wall()),
  );
  return exitCodeOf(services);
}

/** Goes on until the user ends it, or the proxy is gone. */
async function watch(given: Arguments, connection: Connection, io: CommandIo): Promise<number> {
  const isPicture = io.isTerminal && !given.json;
  const first = await connection.ask(statePath(given));
  if (first.status !== 200) return printRefusal(first, io, given.json);
  if (isPicture) return await redraw(given, connection, io);
  const wanted = given.operands.SERVICE;
  for await (const data of connection.events(io.stop)) {
    const event = JSON.parse(data) as PastEvent;
    if (wanted !== undefined && event.service !== wanted) continue;
    io.out(given.json ? data : eventLine(event));
  }
  return io.stop.aborted ? 0 : EXIT_NO_PROCESS;
}

async function redraw(given: Arguments, connection: Connection, io: CommandIo): Promise<number> {
  while (!io.stop.aborted) {
    const [state, past] = await Promise.all([
      connection.ask(statePath(given)),
      connection.ask("events"),
    ]);
    const wanted = given.operands.SERVICE;
    const events = (past.body.events as readonly PastEvent[])
      .filter(({ service }) => wanted === undefined || service === wanted)
      .slice(-EVENTS_SHOWN);
    const text = processText(state.body, realClock.wall());
    io.out(REDRAW + fitted(`${text}\n\n${eventsText(events)}`, io.size?.()));
    await sleep(realClock, REDRAW_MS, io.stop).catch(() => {});
  }
  return 0;
}

/** The part of a picture that a terminal can show; a line that wraps would move the rest of it. */
function fitted(
  text: string,
  { columns, rows }: TerminalSize = { columns: Infinity, rows: Infinity },
): string {
  // The last row stays free for the cursor.
  return text.split("\n").slice(0, rows - 1).map((line) => line.slice(0, columns)).join("\n");
}

/** The flags of orders, and the parameters that they become. */
const PARAMETERS: Readonly<Record<string, string>> = {
  to: "to",
  "max-wait": "max_wait",
  max: "max",
  reason: "reason",
};

async function order(
  name: CommandName,
  { operands: { HOST, SERVICE }, values, json }: Arguments,
  connection: Connection,
  io: CommandIo,
): Promise<number> {
  const query = new URLSearchParams({ wait: "true" });
  if (SERVICE !== undefined) query.set("service", SERVICE);
  if (HOST !== undefined) query.set("upstream", HOST);
  for (const [flag, parameter] of Object.entries(PARAMETERS)) {
    if (values[flag] !== undefined) query.set(parameter, values[flag]);
  }
  const answer = await connection.order(`${name}?${query}`);
  if (answer.status !== 200) return printRefusal(answer, io, json);
  io.out(
    json ? JSON.stringify(answer.body, null, 2) : `${name}: done (epoch ${answer.body.epoch})`,
  );
  return 0;
}
