/** The file of a unix socket. Failures are negated error numbers, as of system calls; 0 is success. */
import { errorCode } from "../base/errno.ts";
import { EACCES, EPERM, EROFS } from "./errno.ts";

/** Sets the permission bits. */
export function setSocketMode(path: string, mode: number): number {
  try {
    Deno.chmodSync(path, mode);
    return 0;
  } catch (error) {
    return fileError(error);
  }
}

/** Tells the file of a socket from any that takes its place later; undefined if there is none. */
export function socketFileId(path: string): string | undefined {
  try {
    return idOf(Deno.lstatSync(path));
  } catch {
    return undefined;
  }
}

function idOf({ dev, ino }: Deno.FileInfo): string {
  return `${dev} ${ino}`;
}

/**
 * Removes the file of a socket, and no other kind of file; with `id`, only that file. Succeeds as well if there
 * is none.
 */
export function removeSocketFile(path: string, id?: string): number {
  try {
    const file = Deno.lstatSync(path);
    if (file.isSocket && (id === undefined || idOf(file) === id)) Deno.removeSync(path);
    return 0;
  } catch (error) {
    return error instanceof Deno.errors.NotFound ? 0 : fileError(error);
  }
}

function fileError(error: unknown): number {
  const code = errorCode(error);
  return code === "EROFS" ? -EROFS : code === "EPERM" ? -EPERM : -EACCES;
}
