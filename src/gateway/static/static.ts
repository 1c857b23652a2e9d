/**
 * A backup that needs no server: a folder of files, or one page for everything. It reads, streams and
 * closes; it never lists a folder, never follows a link out of it, never buffers a file. Methods other than GET
 * and HEAD get 503 with `Retry-After`, and not 405, since the service that supports them is only away. The
 * answers appear under the primary's URLs, so clients may not use them later without asking again (`Cache-Control`).
 */
import { contentType } from "@std/media-types/content-type";
import type { Clock } from "../../base/clock.ts";
import { Fault } from "../../base/fault.ts";
import { RETRY_AFTER_S } from "../answers.ts";
import { bodyOf, inStorageTime, type OpenFile, openFile, respondWith } from "./file_response.ts";

/** Answers a request from a folder or a page. Resolves always; the body's stream owns the file. */
export type StaticBackup = (request: Request) => Promise<Response>;

const SEPARATOR = Deno.build.os === "windows" ? "\\" : "/";

/**
 * Serves the files of `folder`: `index.html` for a folder, `404.html` at its root for what is not there.
 * The folder is resolved again for each request, so a deploy may switch a symbolic link at any time.
 */
export function folderBackup(folder: string, clock: Clock): StaticBackup {
  return orAway(clock, async (request) => {
    if (!isRead(request)) return away("This service can only be read at the moment.\n");
    const segments = segmentsOf(request.url);
    const found = segments === undefined ? "nothing" : await find(folder, segments, clock);
    if (found === "nothing") return await notFound(request, folder, clock);
    if (found === "folder without slash") return toFolder(request.url);
    return await respondWith(request, found, typeOf(found.path));
  });
}

/** Answers everything with `file` and status 503. The file is read again each time. */
export function pageBackup(file: string, clock: Clock): StaticBackup {
  return orAway(clock, async (request) => {
    const page = await openFile(file, clock);
    if (page === undefined) return away("This service is away at the moment.\n");
    return whole(request, page, 503, { "retry-after": String(RETRY_AFTER_S) });
  });
}

/**
 * When no file can be opened at the moment, or not in time, the answer is 503 with `Retry-After`: a 404 would
 * be wrong.
 */
function orAway(clock: Clock, backup: StaticBackup): StaticBackup {
  return async (request) => {
    const working = backup(request);
    try {
      return await inStorageTime(clock, working);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      // The response comes too late, and its file is still open.
      working.then((response) => response.body?.cancel(), () => {});
      return away("This service is away at the moment.\n");
    }
  };
}

function isRead(request: Request): boolean {
  return request.method === "GET" || request.method === "HEAD";
}

/** The decoded names between the slashes of the raw path; undefined if they cannot name a file of the folder. */
function segmentsOf(url: string): readonly string[] | undefined {
  const names: string[] = [];
  for (const raw of pathOf(url).split("/").slice(1)) {
    const name = decoded(raw);
    if (name === undefined || !mayServe(name)) return undefined;
    names.push(name);
  }
  return names;
}

/** The path of a URL exactly as the client sent it: `new URL` would resolve dots and convert backslashes. */
function pathOf(url: string): string {
  const afterScheme = url.indexOf("//") + 2;
  const start = url.indexOf("/", afterScheme);
  return start < 0 ? "/" : url.slice(start).replace(/[?#].*$/s, "");
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    // A stray % or bytes that are not UTF-8: no function checks that without decoding.
    return undefined;
  }
}

/** Refuses encoded separators, dot segments and hidden files, except `.well-known`, which is public. */
function mayServe(name: string): boolean {
  return !/[/\\\0]/.test(name) && (!name.startsWith(".") || name === ".well-known");
}

type Found = OpenFile | "nothing" | "folder without slash";

/** Opens what the names lead to, if it is a regular file that really lies within the folder. */
async function find(
  folder: string,
  segments: readonly string[],
  clock: Clock,
): Promise<Found> {
  const names = segments.filter((name) => name !== "");
  const path = await within(folder, names);
  if (path === undefined) return "nothing";
  const wantsFolder = segments.at(-1) === "";
  const info = await Deno.stat(path).catch(() => undefined); // gone since: nothing
  if (info?.isDirectory) {
    if (!wantsFolder) return "folder without slash";
    const index = await within(folder, [...names, "index.html"]);
    return (index === undefined ? undefined : await openFile(index, clock)) ?? "nothing";
  }
  return wantsFolder ? "nothing" : await openFile(path, clock) ?? "nothing";
}

/** The real path, free of links, if it exists and lies within the real folder. */
async function within(folder: string, names: readonly string[]): Promise<string | undefined> {
  try {
    const root = await Deno.realPath(folder);
    const path = await Deno.realPath([root, ...names].join("/"));
    const inside = root.endsWith(SEPARATOR) ? root : root + SEPARATOR;
    return path === root || path.startsWith(inside) ? path : undefined;
  } catch {
    // Missing, not readable, a name that is too long, a loop of links: to a client all of these are missing.
    return undefined;
  }
}

async function notFound(request: Request, folder: string, clock: Clock): Promise<Response> {
  const page = await within(folder, ["404.html"]);
  const file = page === undefined ? undefined : await openFile(page, clock);
  if (file !== undefined) return whole(request, file, 404);
  return plain(404, "Not found.\n");
}

/**
 * Adds the slash that relative links in an index page rely on. The location is relative too: an absolute
 * one made of `//evil.example/x` would lead to another host.
 */
function toFolder(url: string): Response {
  const last = pathOf(url).split("/").at(-1)!;
  const query = /\?[^#]*/s.exec(url)?.[0] ?? "";
  const location = `./${encodeURIComponent(decodeURIComponent(last))}/${query}`;
  return plain(302, "", { location });
}

function whole(
  request: Request,
  file: OpenFile,
  status: number,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(bodyOf(request, file, 0, file.info.size), {
    status,
    headers: {
      "cache-control": "no-store",
      "content-length": String(file.info.size),
      "content-type": typeOf(file.path),
      ...headers,
    },
  });
}

function away(text: string): Response {
  return plain(503, text, { "retry-after": String(RETRY_AFTER_S) });
}

function plain(status: number, text: string, headers: Record<string, string> = {}): Response {
  return new Response(text, {
    status,
    headers: {
      "cache-control": "no-store",
      "content-type": "text/plain; charset=utf-8",
      ...headers,
    },
  });
}

function typeOf(path: string): string {
  const extension = /\.[^./]+$/.exec(path)?.[0];
  return (extension && contentType(extension)) ?? "application/octet-stream";
}
