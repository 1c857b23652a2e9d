/**
 * A test with real processes, run once for each relay engine. A test that needs a program which is
 * not installed is skipped, and its name names the program.
 */
import { noteFailure } from "./test_run.ts";

/** The values of `--relay`. */
export type Engine = "stream" | "splice";
/** The engines that run on this system. */
export const ENGINES: readonly Engine[] = Deno.build.os === "linux"
  ? ["stream", "splice"]
  : ["stream"];

/** Runs `run` once for each engine. */
export function scenario(
  name: string,
  run: (relay: Readonly<{ relay: Engine }>) => Promise<void>,
  needs: readonly string[] = [],
): void {
  for (const engine of ENGINES) {
    testWithPrograms(`[${engine}] ${name}`, needs, () => run({ relay: engine }));
  }
}

/** Runs `run` once, if all programs that it needs are installed. */
export function testWithPrograms(
  name: string,
  needs: readonly string[],
  run: () => Promise<void>,
): void {
  const missing = needs.filter((program) => !isInstalled(program));
  const why = missing.length === 0 ? "" : ` (needs ${missing.join(", ")})`;
  Deno.test({ name: `${name}${why}`, ignore: missing.length > 0, fn: () => noted(name, run) });
}

async function noted(name: string, run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    const shown = withSuppressed(error);
    noteFailure(name, shown);
    throw shown;
  }
}

/**
 * The same error; one that was followed by others, as what the test used was disposed of, with all of them in the order
 * in which they came: `deno test` prints only that one was suppressed.
 */
export function withSuppressed(error: unknown): unknown {
  const all = allOf(error);
  return all.length === 1 ? error : new AggregateError(all, "failed, and then at its end, too");
}

function allOf(error: unknown): unknown[] {
  return error instanceof SuppressedError ? [...allOf(error.suppressed), error.error] : [error];
}

/** Whether a program is in the PATH, or exists at its path. */
export function isInstalled(program: string): boolean {
  // The programs that tests use take the paths of Unix.
  if (Deno.build.os === "windows") return false;
  const folders = program.includes("/") ? [""] : (Deno.env.get("PATH") ?? "").split(":");
  return folders.some((folder) => {
    try {
      return Deno.statSync(folder === "" ? program : `${folder}/${program}`).isFile;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
  });
}
