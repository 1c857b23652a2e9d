/**
 * The program: argv, environment and signals in, exit code out. Exit codes: 0 it ended as told, 1 it could
 * not listen or broke, 2 the operator's options are wrong.
 */
import { run } from "./app/app.ts";
import { load } from "./config/load.ts";
import { summary } from "./config/print.ts";
import { unusableEngines } from "./app/engines.ts";
import { lookAtFiles } from "./app/files.ts";
import { describe } from "./base/describe.ts";
import { catchUncaught } from "./app/uncaught.ts";
import { VERSION, versionText } from "./app/version.ts";

/** First signal: drain. Second: now. SIGUSR2: back to the best rank. */
function listenToSignals() {
  const stop = new AbortController();
  const stopNow = new AbortController();
  let failback = () => {};
  const end = (signal: string) => () => {
    if (stop.signal.aborted) stopNow.abort();
    else stop.abort(signal);
  };
  const isWindows = Deno.build.os === "windows";
  for (const signal of ["SIGINT", isWindows ? "SIGBREAK" : "SIGTERM"] as const) {
    Deno.addSignalListener(signal, end(signal));
  }
  if (!isWindows) Deno.addSignalListener("SIGUSR2", () => failback());
  return {
    stop: stop.signal,
    stopNow: stopNow.signal,
    onFailbackOrder: (order: () => void) => failback = order,
    onUncaught: catchUncaught,
  };
}

/** The addresses of this machine, as far as they may be known. */
function interfaces(): string[] {
  try {
    return Deno.networkInterfaces().map(({ address }) => address);
  } catch {
    // Installed with an older list of permissions, or in a sandbox that doesn't tell: then only loopback
    // addresses are known to be our own.
    return [];
  }
}

async function main(): Promise<number> {
  const loaded = load({
    args: Deno.args,
    env: Deno.env.toObject(),
    readFile: (path) => Deno.readTextFileSync(path),
    stat: (path) => Deno.statSync(path),
    interfaces,
  });
  if (loaded.kind === "print") {
    console.log(loaded.text.trimEnd());
    return loaded.exitCode;
  }
  if (loaded.kind === "version") {
    console.log(await versionText());
    return 0;
  }
  if (loaded.kind === "generate") {
    const { documentText } = await import("./config/documents.ts");
    console.log(documentText(loaded.document));
    return 0;
  }
  if (loaded.kind === "mistakes") {
    const { mistakes } = await lookAtFiles(loaded.readable);
    return failed([...loaded.lines, ...mistakes], loaded.exitCode);
  }
  const { config, warnings } = loaded;
  const { found: programs, mistakes } = await lookAtFiles(config);
  mistakes.push(...await unusableEngines(config));
  if (mistakes.length > 0) return failed(mistakes, 2);
  if (loaded.kind === "check") {
    const all = [...warnings, ...programs.flatMap((each) => each.warnings)];
    console.log(summary(config, [...new Set(all)]));
    return 0;
  }
  const given = { config, warnings, programs };
  const outcome = await run(given, VERSION, listenToSignals(), Deno.stderr);
  return failed(outcome.lines, outcome.exitCode);
}

/** Says on stderr what went wrong, if anything did. */
function failed(lines: readonly string[], exitCode: number): number {
  try {
    for (const line of lines) console.error(`failover: ${line}`);
  } catch {
    // A full disk under stderr: the exit code is all that is left to tell with.
  }
  return exitCode;
}

/** A fault of our own on the way up or down is one line, without a stack trace. */
async function mainOrFault(): Promise<number> {
  try {
    return await main();
  } catch (error) {
    return failed([`a fault of the proxy itself ended it: ${describe(error)}`], 1);
  }
}

// A worker that sits in the kernel would keep the process from ending by itself, hence the explicit exit.
Deno.exit(await mainOrFault());
