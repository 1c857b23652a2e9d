/**
 * Examines the files that the operator configured as programs before they are needed. It reads the
 * beginning of each file and runs nothing. Most faults of a script can be found in this way.
 *
 * A fault that prevents a program from running is an error; one that was probably not intended is a
 * warning. Each is one line of text that begins with the path.
 */

import { isProgramShortage } from "./shortage.ts";

/** The result for one path. */
export interface FoundPrograms {
  /** The paths of the programs, in the order in which they run. Empty if there is an error in the path itself. */
  readonly programs: readonly string[];
  readonly errors: readonly string[];
  readonly warnings: readonly string[];
  /** Set if the examination failed because descriptors or memory were exhausted: the files are unknown. */
  readonly isShort?: true;
}

/** The maximum number of programs in one directory; more are probably the wrong directory. */
export const PROGRAMS_MAX = 100;

/** Copies that editors and package managers leave behind, and hidden files. */
const LEFTOVER = /^\.|~$|\.(bak|orig|rej|sw[op]|dpkg-\w+|rpm(new|orig|save))$/;
/** Enough for the `#!` line of any script; Linux reads 256 bytes, see execve(2). */
const HEAD_BYTES = 256;

/** Examines a check program, which is one executable file. */
export async function findCheck(path: string): Promise<FoundPrograms> {
  const info = await look(path);
  if (info === undefined) return withError(`${path}: no such file`);
  if (info instanceof Error) return failed(path, info);
  return await inspect(path, info);
}

/**
 * Examines triggers: one executable file, or a directory whose executable files run in the byte order of
 * their names.
 */
export async function findTriggers(path: string): Promise<FoundPrograms> {
  const info = await look(path);
  if (info instanceof Error || !info?.isDirectory) return await findCheck(path);
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(path)) names.push(name);
  } catch (error) {
    // It is not readable, or it has been removed since: the operator must correct that.
    return failed(`${path}: cannot be read`, error);
  }
  const programs: string[] = [];
  const warnings: string[] = [];
  for (const name of names.sort(byBytes)) {
    const member = await findMember(path.replace(/\/*$/, `/${name}`), name);
    // An incomplete list would look like a complete one.
    if (member.isShort === true) return member;
    programs.push(...member.programs);
    warnings.push(...member.warnings, ...member.errors.map((what) => `${what}; it will not run`));
  }
  if (programs.length > PROGRAMS_MAX) {
    return withError(`${path}: has ${programs.length} programs, more than ${PROGRAMS_MAX}`);
  }
  if (programs.length === 0) warnings.push(`${path}: has no program to run`);
  return { programs, errors: [], warnings };
}

/** Examines a file in a directory. If it cannot run, the others run nevertheless. */
async function findMember(path: string, name: string): Promise<FoundPrograms> {
  const info = await look(path);
  if (LEFTOVER.test(name)) {
    return info instanceof Error || !info?.isFile
      ? NOTHING
      : withError(`${path}: is hidden or a left-over copy`);
  }
  if (info === undefined) return withError(`${path}: no such file`);
  return info instanceof Error ? failed(path, info) : await inspect(path, info);
}

/** Examines a file by its mode and its first bytes. */
async function inspect(path: string, info: Deno.FileInfo): Promise<FoundPrograms> {
  if (info.isDirectory) return withError(`${path}: is a directory`);
  if (!info.isFile) return withError(`${path}: is not a file`);
  // Windows has no mode. The kernel decides who may execute; a file that no user may execute is an error.
  if (info.mode !== null && (info.mode & 0o111) === 0) {
    return withError(`${path}: is not executable (chmod +x it)`);
  }
  const program = { programs: [path], errors: [] };
  const head = await readHead(path);
  if (head instanceof Error) return failed(path, head);
  if (head === undefined) {
    return { ...program, warnings: [`${path}: cannot be read; as a script it cannot run`] };
  }
  const interpreter = /^#!\s*([^\s]+\r?)/.exec(head)?.[1];
  if (interpreter !== undefined) {
    return interpreter.startsWith("/") && await look(interpreter) === undefined
      ? withError(`${path}: names an interpreter that is missing: ${JSON.stringify(interpreter)}`)
      : { ...program, warnings: [] };
  }
  // Binaries of all common formats have NUL bytes near their beginning; text has none.
  const isText = !head.includes("\0") && info.mode !== null;
  return { ...program, warnings: isText ? [`${path}: has no #! line; /bin/sh will run it`] : [] };
}

/**
 * The first bytes, each as one character; undefined if the file cannot be read; the error if a resource
 * of this machine is exhausted.
 */
async function readHead(path: string): Promise<string | Error | undefined> {
  try {
    using file = await Deno.open(path);
    const head = new Uint8Array(HEAD_BYTES);
    const count = await file.read(head) ?? 0;
    return new TextDecoder("latin1").decode(head.subarray(0, count));
  } catch (error) {
    // This is no error: a binary may be executable without being readable.
    return isProgramShortage(error) ? error as Error : undefined;
  }
}

/** The state of a file, symbolic links followed; undefined if there is none; the error of stat(2). */
async function look(path: string): Promise<Deno.FileInfo | Error | undefined> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return undefined;
    }
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** The order of run-parts(8) and of `LC_ALL=C ls`, which does not depend on the locale. */
function byBytes(a: string, b: string): number {
  const [left, right] = [a, b].map((name) => new TextEncoder().encode(name));
  for (let at = 0; at < left!.length && at < right!.length; at++) {
    if (left![at] !== right![at]) return left![at]! - right![at]!;
  }
  return left!.length - right!.length;
}

const NOTHING: FoundPrograms = { programs: [], errors: [], warnings: [] };

function withError(line: string): FoundPrograms {
  return { ...NOTHING, errors: [line] };
}

/** The result if a file or directory could not be examined. */
function failed(what: string, error: unknown): FoundPrograms {
  const found = withError(`${what}: ${error instanceof Error ? error.message : error}`);
  return isProgramShortage(error) ? { ...found, isShort: true } : found;
}
