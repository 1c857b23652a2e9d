/** Files of the operator that a log-in needs: passwords, certificates. Read at each log-in, so that a new one counts. */
import { describe } from "../base/describe.ts";
import { errorCode, isShortageCode } from "../base/errno.ts";
import { Fault } from "../base/fault.ts";
import { LoginRefused } from "./server.ts";

/** Larger files are refused. */
const FILE_MAX_BYTES = 1024 * 1024;

/** A file's text and its permission bits (stat(2)); the mode is null where the system has none. */
export interface OperatorFile {
  readonly text: string;
  readonly mode: number | null;
}

/**
 * Reads a file; undefined if it does not exist. Rejects with a `Fault` if this machine is short of something, and with
 * `LoginRefused` if the file cannot be used for another reason.
 */
export async function readOperatorFile(path: string): Promise<OperatorFile | undefined> {
  try {
    const { isFile, size, mode } = await Deno.stat(path);
    // Anything else could make us wait without end.
    if (!isFile) throw new LoginRefused(`${path} is not a plain file`);
    if (size > FILE_MAX_BYTES) throw new LoginRefused(`${path} is larger than 1MB`);
    return { text: await Deno.readTextFile(path), mode };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    if (error instanceof LoginRefused) throw error;
    if (isShortageCode("file", errorCode(error))) {
      throw new Fault("localShortage", `cannot read ${path}`, { cause: error });
    }
    throw new LoginRefused(`cannot read ${path}: ${describe(error)}`);
  }
}

/** The password that the operator's file has. Rejects with a `Fault` or with `LoginRefused` if there is none. */
export async function passwordFrom(read: () => Promise<string>): Promise<string> {
  try {
    return await read();
  } catch (error) {
    if (isShortageCode("file", errorCode(error))) {
      throw new Fault("localShortage", "cannot read the password", { cause: error });
    }
    throw new LoginRefused(error instanceof Error ? error.message : String(error));
  }
}
