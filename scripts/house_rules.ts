/**
 * The rules about sizes and places that `boundaries.ts` enforces beside the imports: how long a file and a
 * function may be, where test helpers stand, which source file may be without a unit test, and that every
 * room has a door. All functions are pure: sources in, breaches out, one line each.
 */

/** One file; `path` is relative to `src/`, or to the other folder that is named. */
export interface Source {
  readonly path: string;
  readonly text: string;
}

export const LINES_MAX = 400;
export const FUNCTION_LINES_MAX = 70;

/** `foo_test.ts`, and everything in a `testing/` folder. */
export function isTestCode(path: string): boolean {
  return path.endsWith("_test.ts") || path.includes("/testing/");
}

/**
 * What is too long in a file of `folder`: the file, or a function outside test code. Relies on the layout that
 * `deno fmt` gives a function.
 */
export function tooLong({ path, text }: Source, folder = "src"): string[] {
  const lines = text.split("\n");
  const found: string[] = [];
  if (lines.length - 1 > LINES_MAX) {
    found.push(`${folder}/${path}: ${lines.length - 1} lines, at most ${LINES_MAX}`);
  }
  for (const { name, from, to } of isTestCode(path) ? [] : functionsOf(lines)) {
    const length = to - from + 1;
    if (length > FUNCTION_LINES_MAX) {
      found.push(
        `${folder}/${path}:${from + 1}: ${name} has ${length} lines, at most ${FUNCTION_LINES_MAX}`,
      );
    }
  }
  return found;
}

interface FunctionSpan {
  readonly name: string;
  /** Index of its first and last line. */
  readonly from: number;
  readonly to: number;
}

const FUNCTION_HEAD =
  /^(\s*)(?:export )?(?:default )?(?:async )?function\*? ?([\w$]+)|^(\s+)(?:(?:static|async|get|set|override|readonly) )*(#?[\w$]+|\[[\w.]+\])(?:<[^>]*>)?\([^;]*$/;
/** Keywords that begin a statement and look like the name of a method. */
const STATEMENTS = new Set(["if", "for", "while", "switch", "catch", "return", "await", "super"]);

function functionsOf(lines: readonly string[]): FunctionSpan[] {
  const found: FunctionSpan[] = [];
  lines.forEach((line, from) => {
    const match = FUNCTION_HEAD.exec(line);
    if (match === null) return;
    const indent = match[1] ?? match[3] ?? "";
    const name = match[2] ?? match[4]!;
    if (STATEMENTS.has(name)) return;
    const to = endOf(lines, from, indent);
    if (to === undefined) return;
    found.push({ name, from, to });
  });
  return found;
}

/** The line of the closing brace of a function that begins at `from`; undefined if that is only a call. */
function endOf(lines: readonly string[], from: number, indent: string): number | undefined {
  const outside = new RegExp(`^${indent}\\S`);
  for (let at = from + 1; at < lines.length; at++) {
    if (!outside.test(lines[at]!)) continue;
    const line = lines[at]!.trim();
    if (line === "}") return at;
    // The end of a list of parameters, or of a result type, is followed by the body.
    if (!/^[)}].*\{$/.test(line)) return undefined;
  }
  return undefined;
}

/** Test code in a production file: only `_test.ts` files and `testing/` folders may register tests. */
export function misplacedTestCode({ path, text }: Source): string[] {
  if (isTestCode(path)) return [];
  const code = text.replace(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, "");
  const hit = /\bDeno\.test\b|from "@std\/assert"|\/testing\//.exec(code);
  return hit === null ? [] : [`src/${path}: ${hit[0]} belongs in a test or a testing/ folder`];
}

/**
 * Source files without a unit test beside them, other than those in `exceptions`; and exceptions that are no
 * longer needed, so that the list only shrinks.
 */
export function untested(
  paths: readonly string[],
  exceptions: Readonly<Record<string, string>>,
): string[] {
  const all = new Set(paths);
  const sources = paths.filter((path) => !isTestCode(path) && !path.endsWith(".d.ts"));
  const bare = sources.filter((path) => !all.has(path.replace(/\.ts$/, "_test.ts")));
  const missing = bare.filter((path) => exceptions[path] === undefined);
  const stale = Object.keys(exceptions).filter((path) => !bare.includes(path));
  return [
    ...missing.map((path) => `src/${path}: no unit test beside it`),
    ...stale.map((path) => `src/${path}: has a unit test now (or is gone): remove its exception`),
  ];
}

/**
 * Exceptions of `untested` whose reason is not true: it names the file with the tests, which must exist, or it is
 * `types only`, and then the source has no function and no class but errors.
 */
export function wrongReasons(
  sources: readonly Source[],
  exceptions: Readonly<Record<string, string>>,
  exists: (path: string) => boolean,
): string[] {
  const found: string[] = [];
  for (const { path, text } of sources) {
    const reason = exceptions[path];
    if (reason === undefined) continue;
    if (reason === "types only") {
      const code = /^(export )?((async )?function|(abstract )?class (?!\w+ extends Error\b))/m;
      if (code.test(text)) found.push(`src/${path}: has more than types: write its unit test`);
    } else if (!exists(/\S+_test\.ts$/.exec(reason)?.[0] ?? "")) {
      found.push(`src/${path}: its exception must end with the path of its tests, which exist`);
    }
  }
  return found;
}

/** Exported names that mean different things in different files: a reader who searches for one finds both. */
export function doubleNames(files: readonly Source[]): string[] {
  const homes = new Map<string, string>();
  const found: string[] = [];
  const exported =
    /^export (?:declare |abstract |async )*(?:class|interface|type|enum|function\*?|const) (\w+)/gm;
  for (const { path, text } of files) {
    if (isTestCode(path) || path.endsWith(".d.ts")) continue;
    for (const [, name] of text.matchAll(exported)) {
      const home = homes.get(name!) ?? path;
      homes.set(name!, home);
      if (home !== path) {
        found.push(`src/${path}: exports ${name}, as src/${home} does; rename one`);
      }
    }
  }
  return found;
}

/** Rooms that import each other, directly or through others; `table` says what each room may import. */
export function cycles(table: Readonly<Record<string, readonly string[]>>): string[] {
  const reaches = (from: string, seen: Set<string>): Set<string> => {
    for (const room of table[from] ?? []) {
      if (seen.has(room)) continue;
      seen.add(room);
      reaches(room, seen);
    }
    return seen;
  };
  return Object.keys(table).filter((room) => reaches(room, new Set()).has(room))
    .map((room) => `src/${room}/: the table of imports leads back to it`);
}

/** Rooms of `table` and of `src/` that are not in both, and rooms that the page with the tree does not list. */
export function unlisted(
  paths: readonly string[],
  table: Readonly<Record<string, readonly string[]>>,
  page: string,
): string[] {
  const rooms = new Set(
    paths.filter((path) => path.includes("/")).map((path) => path.slice(0, path.indexOf("/"))),
  );
  const listed = new Set([...page.matchAll(/^[├└]── (\w+)\/ /gm)].map(([, room]) => room!));
  return [
    ...Object.keys(table).filter((room) => !rooms.has(room))
      .map((room) => `src/${room}/: is in the table of imports and does not exist`),
    ...[...rooms].filter((room) => !listed.has(room))
      .map((room) => `src/${room}/: is not in the tree of .github/ARCHITECTURE.md`),
    ...[...listed].filter((room) => !rooms.has(room))
      .map((room) => `.github/ARCHITECTURE.md: lists src/${room}/, which does not exist`),
  ];
}

/** Rooms without a file named like them, except those of `doors`, which name another. */
export function withoutDoor(
  paths: readonly string[],
  doors: Readonly<Record<string, readonly string[]>>,
): string[] {
  const rooms = new Set(
    paths.filter((path) => path.includes("/")).map((path) => path.slice(0, path.indexOf("/"))),
  );
  return [...rooms].flatMap((room) => {
    const named = doors[room] ?? [`${room}.ts`];
    return named.filter((door) => !paths.includes(`${room}/${door}`))
      .map((door) => `src/${room}/: its door ${door} is missing`);
  });
}
