/** The new process of an upgrade, as the child of the old one. */
import { describe } from "../base/describe.ts";
import type { CommandLine } from "./place.ts";

/** Tells the new process where to find the old one. It takes the variable out of its environment. */
export const UPGRADE_VARIABLE = "FAILOVER_UPGRADE";

/** A new process that runs. */
export interface NewProgram {
  readonly pid: number;
  /** Resolves when it has ended, with how it ended, for a person: `ended with exit code 1`. */
  readonly ended: Promise<string>;
  /** Kills it and resolves when it is gone. Nothing it does comes later. */
  kill(): Promise<void>;
}

/** Starts the program with the environment and the output of this process, or returns the reason why it cannot. */
export function startProgram(
  { program, args }: CommandLine,
  socket: string,
): NewProgram | string {
  try {
    const child = new Deno.Command(program, {
      args: [...args],
      env: { [UPGRADE_VARIABLE]: socket },
      stdin: "inherit",
      stdout: "inherit",
      stderr: "inherit",
    }).spawn();
    const ended = child.status.then(({ signal, code }) =>
      signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`
    );
    return {
      pid: child.pid,
      ended,
      async kill() {
        try {
          child.kill("SIGKILL");
        } catch {
          // It has ended already.
        }
        await ended;
      },
    };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return `there is no ${program}`;
    if (error instanceof Deno.errors.NotCapable) {
      return `no permission to run ${program} (--allow-run)`;
    }
    if (error instanceof Deno.errors.PermissionDenied) return `${program} is not executable`;
    return `cannot run ${program}: ${describe(error)}`;
  }
}
