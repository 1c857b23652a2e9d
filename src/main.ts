/**
 * The program: arguments, environment and signals in, exit code out. Exit codes: 0 it ended as requested, 1 it
 * could not listen or a part of it failed, 2 options, or files that they name, are wrong.
 */
import { type ControlPlace, run } from "./app/app.ts";
import { commandHelp, type CommandName, isCommand } from "./config/commands.ts";
import { controlPlaces, defaultControlPath } from "./control/path.ts";
import { load, type LoadInput } from "./config/load.ts";
import { summary } from "./config/print.ts";
import { checkOptions, readOptions } from "./app/read_options.ts";
import { checkFiles } from "./app/files.ts";
import { describe } from "./base/describe.ts";
import { catchUncaught } from "./app/uncaught.ts";
import { OWN_VARIABLES } from "./systemd/activation.ts";
import type { Takeover } from "./upgrade/takeover.ts";
import { VERSION, versionText } from "./app/version.ts";

/**
 * SIGINT or SIGTERM: drain; a second one: end at once. SIGUSR2: move back to the best rank. SIGHUP: read the config
 * again, and open the access logs again. Windows has neither of the last two.
 */
function listenToSignals() {
  const stop = new AbortController();
  const stopNow = new AbortController();
  let [failback, reload] = [() => {}, () => {}];
  const end = (signal: string) => () => {
    if (stop.signal.aborted) stopNow.abort();
    else stop.abort(signal);
  };
  const isWindows = Deno.build.os === "windows";
  for (const signal of ["SIGINT", isWindows ? "SIGBREAK" : "SIGTERM"] as const) {
    Deno.addSignalListener(signal, end(signal));
  }
  if (!isWindows) {
    Deno.addSignalListener("SIGUSR2", () => failback());
    Deno.addSignalListener("SIGHUP", () => reload());
  }
  return {
    stop: stop.signal,
    stopNow: stopNow.signal,
    onFailbackOrder: (order: () => void) => failback = order,
    // Not SIGUSR1, at which Deno opens its debugger.
    onReloadOrder: (order: () => void) => reload = order,
    onUncaught: catchUncaught,
  };
}

/** The addresses of this machine's interfaces; empty without the permission to list them. */
function interfaces(): string[] {
  try {
    return Deno.networkInterfaces().map(({ address }) => address);
  } catch {
    // Installed with an older list of permissions, or in a sandbox that hides the interfaces: then only
    // loopback addresses are known to be our own.
    return [];
  }
}

function inputOf(args: readonly string[]): LoadInput {
  return {
    args,
    env: Deno.env.toObject(),
    readFile: (path) => Deno.readTextFileSync(path),
    stat: (path) => Deno.statSync(path),
    interfaces,
  };
}

/** What these options mean for clients; `--json` and `--help` are the command's own. */
async function explainOptions(args: readonly string[]): Promise<number> {
  if (args.some((arg) => arg === "--help" || arg === "-h")) {
    console.log(commandHelp("explain"));
    return 0;
  }
  const loaded = load(inputOf(args.filter((arg) => arg !== "--json")));
  if (loaded.kind === "errors") return failed(loaded.lines, loaded.exitCode);
  if (loaded.kind !== "run") return failed(["explain needs the options of a proxy"], 2);
  const { explanationOf } = await import("./app/explanation.ts");
  console.log(await explanationOf(loaded.config, args.includes("--json")));
  return 0;
}

/** The size of the terminal under stdout. */
function terminalSize(): { columns: number; rows: number } | undefined {
  try {
    const { columns, rows } = Deno.consoleSize();
    return columns > 0 && rows > 1 ? { columns, rows } : undefined;
  } catch {
    return undefined; // stdout is no terminal any more
  }
}

/** Carries out a command of the operator, whose code is loaded only now. */
async function command(name: CommandName, args: readonly string[]): Promise<number> {
  if (name === "explain") return await explainOptions(args);
  const [{ runCommand }, { printLine }] = await Promise.all([
    import("./commands/commands.ts"),
    import("./commands/output.ts"),
  ]);
  const stop = new AbortController();
  if (name === "watch") Deno.addSignalListener("SIGINT", () => stop.abort());
  const option = Deno.env.get("FAILOVER_CONTROL");
  const isPath = option !== undefined && option !== "" && option !== "off";
  const places = isPath ? [option] : controlPlaces(Deno.env.toObject(), Deno.build.os);
  return await runCommand(name, args, places, {
    out: (text) => printLine(text),
    err: console.error,
    isTerminal: Deno.stdout.isTerminal(),
    size: terminalSize,
    stop: stop.signal,
  });
}

/** Runs the proxy, which takes over from a running one if it was started for that. */
async function runProxy(): Promise<number> {
  const { takeover, lines } = await takeoverOf();
  using _connection = takeover;
  if (lines !== undefined) return failed(lines, 1);
  const outcome = await prepareAndRun(takeover).catch(takeoverFailed);
  const code = failed(outcome.lines, outcome.exitCode);
  // The process that is told may kill this one at once.
  if (takeover !== undefined && outcome.lines.length > 0) await takeover.fail(outcome.lines);
  return code;
}

const DONE: Outcome = { lines: [], exitCode: 0 };

interface Outcome {
  readonly lines: readonly string[];
  readonly exitCode: number;
}

/** The outcome of a run that could not take over; throws any other error again. */
function takeoverFailed(error: unknown): Outcome {
  if (!(error instanceof Error && "lines" in error)) throw error;
  const lines = (error as Error & Outcome).lines.map((line) => `Cannot take over: ${line}`);
  return { lines, exitCode: 1 };
}

/**
 * Connects to the process to take over from, if this one was started for that. The variable is for this process only,
 * and not for the programs that it starts.
 */
async function takeoverOf(): Promise<
  { readonly takeover?: Takeover; readonly lines?: readonly string[] }
> {
  const socket = Deno.env.get("FAILOVER_UPGRADE");
  if (socket === undefined) return {};
  Deno.env.delete("FAILOVER_UPGRADE");
  const { Takeover } = await import("./upgrade/takeover.ts");
  try {
    return { takeover: Takeover.connect(socket, VERSION, Deno.ppid) };
  } catch (error) {
    return { lines: takeoverFailed(error).lines };
  }
}

async function main(): Promise<number> {
  const [name, ...rest] = Deno.args;
  if (isCommand(name)) return await command(name, rest);
  return await runProxy();
}

async function prepareAndRun(takeover: Takeover | undefined): Promise<Outcome> {
  const input = inputOf(Deno.args);
  const loaded = load(input);
  if (loaded.kind === "print") {
    console.log(loaded.text.trimEnd());
    return { lines: [], exitCode: loaded.exitCode };
  }
  if (loaded.kind === "version") {
    console.log(await versionText());
    return DONE;
  }
  if (loaded.kind === "generate") {
    const { documentText } = await import("./config/documents.ts");
    console.log(documentText(loaded.document));
    return DONE;
  }
  if (loaded.kind === "errors") {
    const { errors } = await checkFiles(loaded.readable);
    return { lines: [...loaded.lines, ...errors], exitCode: loaded.exitCode };
  }
  const { config, warnings } = loaded;
  const checked = await checkOptions(config);
  if (checked instanceof Array) return { lines: checked, exitCode: 2 };
  const { programs } = checked;
  if (loaded.kind === "check") {
    const all = [...warnings, ...programs.flatMap((each) => each.warnings)];
    console.log(summary(config, [...new Set(all)]));
    return DONE;
  }
  const control = controlOf(config.process.control);
  const startedAs = {
    isStandalone: Deno.build.standalone,
    // Asked for when it is needed: the file may have been replaced or renamed by then.
    get execPath() {
      return Deno.execPath();
    },
    args: Deno.args,
    env: takeVariables(),
  };
  const readAgain = () => readOptions(input);
  const given = { config, warnings, programs, control, startedAs, takeover, readAgain };
  return await run(given, VERSION, listenToSignals(), Deno.stderr);
}

/** The environment, from which this takes what is not for the programs that this one starts. */
function takeVariables(): Record<string, string> {
  const env = Deno.env.toObject();
  for (const name of OWN_VARIABLES) if (name in env) Deno.env.delete(name);
  return env;
}

/** The place of the control socket that the option asks for, or the default one. */
function controlOf(option: string | undefined): ControlPlace | undefined {
  if (option === "off") return undefined;
  const path = option ?? defaultControlPath(Deno.env.toObject(), Deno.build.os);
  return path === undefined ? undefined : { path, isDefault: option === undefined };
}

/** Prints error lines on stderr and returns the exit code. */
function failed(lines: readonly string[], exitCode: number): number {
  try {
    for (const line of lines) console.error(`failover: ${line}`);
  } catch {
    // The disk under stderr is full: only the exit code can report the failure.
  }
  return exitCode;
}

/** Runs the program; an unexpected error at start or stop is one line, without a stack trace. */
async function mainOrFault(): Promise<number> {
  try {
    return await main();
  } catch (error) {
    return failed([`a fault of the proxy itself ended it: ${describe(error)}`], 1);
  }
}

// A worker that waits in the kernel keeps the process from ending, hence the explicit exit.
Deno.exit(await mainOrFault());
