/**
 * One open file as a response: validators, conditions and a single byte range (RFC 9110 sections 8.8, 13
 * and 14). The file is opened once and everything is said of that open file, so one that is replaced
 * meanwhile is never mixed. Bytes are read as they are asked for, and never more than were promised.
 */
import { eTag, ifNoneMatch } from "@std/http/etag";
import type { Clock } from "../../base/clock.ts";
import { inTime as withinTime } from "../../base/deadline.ts";
import { errorCode, isShortageCode } from "../../base/errno.ts";
import { Fault } from "../../base/fault.ts";

/** A regular file, open for reading. Whoever has it closes it. */
export interface OpenFile {
  readonly path: string;
  readonly file: Deno.FsFile;
  readonly info: Deno.FileInfo;
  readonly clock: Clock;
}

/**
 * A file system that is silent for so long (a server of files that has gone, or threads that all wait for
 * something else) is not waited for any longer, in milliseconds.
 */
const SILENT_MS = 10_000;

/** What `work` gives; rejects with a Fault if that takes longer than a file system may be silent. */
export async function inTime<T>(clock: Clock, work: Promise<T>): Promise<T> {
  const onLate = () => new Fault("responseCut", "the file system does not answer");
  return await withinTime(work, SILENT_MS, clock, onLate);
}

const CHUNK_BYTES = 64 * 1024;

/**
 * Opens `path` if it is a regular file that may be read: opening a named pipe would wait for ever.
 * Rejects with a Fault where this process cannot open any file at the moment.
 */
export async function openFile(path: string, clock: Clock): Promise<OpenFile | undefined> {
  let file: Deno.FsFile | undefined;
  try {
    if (!(await Deno.stat(path)).isFile) return undefined;
    file = await Deno.open(path);
    const info = await file.stat();
    // It may have been replaced since the first look.
    if (info.isFile) return { path, file, info, clock };
  } catch (error) {
    const code = errorCode(error);
    if (isShortageCode("file", code)) throw new Fault("localShortage", code, { cause: error });
    // Not there or not ours to read: to a client the same.
  }
  file?.close();
  return undefined;
}

/** Answers a GET or HEAD with a file: 200, 206, 304 or 416. Takes the file. */
export async function respondWith(
  request: Request,
  file: OpenFile,
  type: string,
): Promise<Response> {
  const { mtime, size } = file.info;
  const etag = await eTag(file.info).catch((error) => {
    file.file.close();
    throw error;
  });
  const modified = mtime?.toUTCString();
  const headers = new Headers({ "accept-ranges": "bytes", "cache-control": "no-cache" });
  if (etag !== undefined) headers.set("etag", etag);
  if (modified !== undefined) headers.set("last-modified", modified);
  if (isUnchanged(request, etag, mtime)) {
    file.file.close();
    return new Response(null, { status: 304, headers });
  }
  const range = request.method === "GET" ? rangeOf(request, size, modified) : undefined;
  if (range === "unsatisfiable") {
    file.file.close();
    headers.set("content-range", `bytes */${size}`);
    return new Response(null, { status: 416, headers });
  }
  const { first, length } = range ?? { first: 0, length: size };
  headers.set("content-type", type);
  headers.set("content-length", String(length));
  if (range) headers.set("content-range", `bytes ${first}-${first + length - 1}/${size}`);
  const body = bodyOf(request, file, first, length);
  return new Response(body, { status: range ? 206 : 200, headers });
}

/** RFC 9110 13.2.2: the date counts only where no tag was sent. */
function isUnchanged(request: Request, etag: string | undefined, mtime: Date | null): boolean {
  const tags = request.headers.get("if-none-match");
  if (tags !== null) return !ifNoneMatch(tags, etag);
  const since = Date.parse(request.headers.get("if-modified-since") ?? "");
  // An HTTP date has no milliseconds.
  return mtime !== null && Math.floor(mtime.getTime() / 1_000) * 1_000 <= since;
}

interface Range {
  readonly first: number;
  readonly length: number;
}

/** The range to send; undefined sends the whole, as for several ranges or one we cannot read. */
function rangeOf(
  request: Request,
  size: number,
  modified: string | undefined,
): Range | "unsatisfiable" | undefined {
  const parts = /^bytes=(\d*)-(\d*)$/i.exec(request.headers.get("range")?.trim() ?? "");
  const [, from = "", to = ""] = parts ?? [];
  if (parts === null || (from === "" && to === "")) return undefined;
  // Our tags are weak, and If-Range wants a strong comparison: only the very date can match.
  const condition = request.headers.get("if-range");
  if (condition !== null && condition !== modified) return undefined;
  if (from === "") {
    const length = Math.min(Number(to), size);
    return length === 0 ? "unsatisfiable" : { first: size - length, length };
  }
  const first = Number(from);
  const last = to === "" ? size - 1 : Math.min(Number(to), size - 1);
  if (to !== "" && Number(to) < first) return undefined;
  return first >= size ? "unsatisfiable" : { first, length: last - first + 1 };
}

/**
 * Exactly `length` bytes from `first` on, as they are asked for; null for HEAD. The stream owns the file
 * and closes it at its end and on cancel. A file that has become shorter, was written over, or can no
 * longer be read breaks the stream with a Fault, so that the response is cut and the client can tell.
 */
export function bodyOf(
  request: Request,
  { file, info, clock }: OpenFile,
  first: number,
  length: number,
): ReadableStream<Uint8Array> | null {
  if (request.method === "HEAD" || length === 0) {
    file.close();
    return null;
  }
  let left = length;
  let isOpen = true;
  const close = () => {
    if (isOpen) file.close();
    isOpen = false;
  };
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        if (left === length && first > 0) await file.seek(first, Deno.SeekMode.Start);
        const chunk = new Uint8Array(Math.min(CHUNK_BYTES, left));
        const count = await inTime(clock, file.read(chunk));
        if (count === null) throw new Fault("responseCut", "the file became shorter meanwhile");
        // What came in one read is of one state; later parts may be of another.
        const isLastOfMany = count === left && left < length;
        if (isLastOfMany && await isWrittenOver(file, info)) {
          throw new Fault("responseCut", "the file was written meanwhile");
        }
        left -= count;
        controller.enqueue(chunk.subarray(0, count));
        if (left === 0) {
          close();
          controller.close();
        }
      } catch (error) {
        // Also when a cancel came in between: there is nobody left to tell then.
        close();
        throw error instanceof Fault
          ? error
          : new Fault("responseCut", "the file cannot be read", { cause: error });
      }
    },
    cancel: close,
  }, { highWaterMark: 0 });
}

/** True if the file has changed since and not merely grown, as a log does: what was sent may be a mixture. */
async function isWrittenOver(file: Deno.FsFile, { mtime, size }: Deno.FileInfo): Promise<boolean> {
  const now = await file.stat();
  return now.size <= size && now.mtime?.getTime() !== mtime?.getTime();
}
