/**
 * Looks at the files that an operator named as programs, before they are needed: most of what can be
 * wrong with a script shows without running it. Reads the beginning of each file and runs nothing.
 *
 * What keeps a program from running is a mistake, what merely looks like an oversight a warning; each
 * is one line that begins with the path.
 */

import { isShortage } from "./shortage.ts";

/** What was found under one path. */
export interface Found {
  /** Paths to run, in the order to run them. Empty if there is any mistake. */
  readonly programs: readonly string[];
  readonly mistakes: readonly string[];
  readonly warnings: readonly string[];
  /** Set when the look itself failed for want of descriptors or memory: it says nothing of the files. */
  readonly isShort?: true;
}

/** Programs in one directory; more look like the wrong directory. */
export const PROGRAMS_MAX = 100;

/** Left behind by editors and package managers: copies that nobody means to run. */
const LEFTOVER = /^\.|~$|\.(bak|orig|rej|sw[op]|dpkg-\w+|rpm(new|orig|save))$/;
/** Enough for the `#!` line of any script (Linux reads 256 bytes). */
const HEAD_BYTES = 256;

/** Looks at a check program: one executable file. */
export async function findCheck(path: string): Promise<Found> {
  const info = await look(path);
  if (info === undefined) return mistake(`${path}: no such file`);
  if (info instanceof Error) return failed(path, info);
  return await inspect(path, info);
}

/**
 * Looks at triggers: one executable file, or a directory whose executable files run in the byte order
 * of their names.
 */
export async function findTriggers(path: string): Promise<Found> {
  const info = await look(path);
  if (info instanceof Error || !info?.isDirectory) return await findCheck(path);
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(path)) names.push(name);
  } catch (error) {
    // Not readable, or gone since: the operator's to mend.
    return failed(`${path}: cannot be read`, error);
  }
  const programs: string[] = [];
  const warnings: string[] = [];
  for (const name of names.sort(byBytes)) {
    const member = await findMember(path.replace(/\/*$/, `/${name}`), name);
    // A list with one missing that is only not seen would be believed.
    if (member.isShort === true) return member;
    programs.push(...member.programs);
    warnings.push(...member.warnings, ...member.mistakes.map((what) => `${what}; it will not run`));
  }
  if (programs.length > PROGRAMS_MAX) {
    return mistake(`${path}: has ${programs.length} programs, more than ${PROGRAMS_MAX}`);
  }
  if (programs.length === 0) warnings.push(`${path}: has no program to run`);
  return { programs, mistakes: [], warnings };
}

/** In a directory a file that cannot run does not keep the others from running. */
async function findMember(path: string, name: string): Promise<Found> {
  const info = await look(path);
  if (LEFTOVER.test(name)) {
    return info instanceof Error || !info?.isFile
      ? NOTHING
      : mistake(`${path}: is hidden or a left-over copy`);
  }
  if (info === undefined) return mistake(`${path}: no such file`);
  return info instanceof Error ? failed(path, info) : await inspect(path, info);
}

/** Judges a file by its mode and its first bytes. */
async function inspect(path: string, info: Deno.FileInfo): Promise<Found> {
  if (info.isDirectory) return mistake(`${path}: is a directory`);
  if (!info.isFile) return mistake(`${path}: is not a file`);
  // Windows has no such mode. Who may execute is left to the kernel; nobody at all is a mistake.
  if (info.mode !== null && (info.mode & 0o111) === 0) {
    return mistake(`${path}: is not executable (chmod +x it)`);
  }
  const program = { programs: [path], mistakes: [] };
  const head = await readHead(path);
  if (head instanceof Error) return failed(path, head);
  if (head === undefined) {
    return { ...program, warnings: [`${path}: cannot be read; as a script it cannot run`] };
  }
  const interpreter = /^#!\s*([^\s]+\r?)/.exec(head)?.[1];
  if (interpreter !== undefined) {
    return interpreter.startsWith("/") && await look(interpreter) === undefined
      ? mistake(`${path}: names an interpreter that is missing: ${JSON.stringify(interpreter)}`)
      : { ...program, warnings: [] };
  }
  // Binaries have NUL bytes near their beginning, in every format there is; text has none.
  const isText = !head.includes("\0") && info.mode !== null;
  return { ...program, warnings: isText ? [`${path}: has no #! line; /bin/sh will run it`] : [] };
}

/** The first bytes as characters, one each; undefined if the file cannot be read; what was short here. */
async function readHead(path: string): Promise<string | Error | undefined> {
  try {
    using file = await Deno.open(path);
    const head = new Uint8Array(HEAD_BYTES);
    const count = await file.read(head) ?? 0;
    return new TextDecoder("latin1").decode(head.subarray(0, count));
  } catch (error) {
    // No mistake yet: a binary may well be executable and not readable.
    return isShortage(error) ? error as Error : undefined;
  }
}

/** What is there; undefined if nothing is. Follows links. */
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

/** The order of `LC_ALL=C ls` and of run-parts, the same whatever the locale. */
function byBytes(a: string, b: string): number {
  const [left, right] = [a, b].map((name) => new TextEncoder().encode(name));
  for (let at = 0; at < left!.length && at < right!.length; at++) {
    if (left![at] !== right![at]) return left![at]! - right![at]!;
  }
  return left!.length - right!.length;
}

const NOTHING: Found = { programs: [], mistakes: [], warnings: [] };

function mistake(line: string): Found {
  return { ...NOTHING, mistakes: [line] };
}

/** A look that failed. */
function failed(what: string, error: unknown): Found {
  const found = mistake(`${what}: ${error instanceof Error ? error.message : error}`);
  return isShortage(error) ? { ...found, isShort: true } : found;
}
