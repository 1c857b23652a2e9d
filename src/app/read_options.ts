/**
 * Checks options and all that they name before anything starts, at the start and at a reload alike. Part of the
 * composition root.
 */
import { load, type LoadInput } from "../config/load.ts";
import type { Config } from "../config/options.ts";
import { unusableEngines } from "./engines.ts";
import { checkFiles, type ProgramFiles } from "./files.ts";

/** Options without a mistake, with what was found at the paths that they name. */
export interface ReadOptions {
  readonly config: Config;
  /** Warnings about the options. */
  readonly warnings: readonly string[];
  /** The programs of each service, in the order of the services. */
  readonly programs: readonly ProgramFiles[];
}

/** Reads and checks everything anew. Resolves with all error lines of a start if there is a mistake. */
export async function readOptions(input: LoadInput): Promise<ReadOptions | readonly string[]> {
  const loaded = load(input);
  if (loaded.kind === "errors") {
    const { errors } = await checkFiles(loaded.readable);
    return [...loaded.lines, ...errors];
  }
  if (loaded.kind !== "run") return ["These are not the options of a proxy"];
  const { config, warnings } = loaded;
  const checked = await checkOptions(config);
  return checked instanceof Array ? checked : { config, warnings, programs: checked.programs };
}

/** Checks what options name. Resolves with the error lines if there is a mistake. */
export async function checkOptions(
  config: Config,
): Promise<Pick<ReadOptions, "programs"> | readonly string[]> {
  const { found: programs, errors } = await checkFiles(config);
  errors.push(...await unusableEngines(config));
  return errors.length > 0 ? errors : { programs };
}
