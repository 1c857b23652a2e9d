/**
 * One open file as a response: validators, conditions and a single byte range (RFC 9110 sections 8.8, 13
 * and 14). The file is opened once, and head and body both describe that open file, so a file that is replaced
 * in the meantime is never mixed with its successor. Bytes are read on demand, never more than were announced.
 */
import { eTag, ifNoneMatch } from "@std/http/etag";
import type { Clock } from "../../base/clock.ts";
import { inTime } from "../../base/deadline.ts";
import { FILE_MS, FILE_SILENT } from "../../base/file_time.ts";
import { errorCode, isShortageCode } from "../../base/errno.ts";
import { Fault } from "../../base/fault.ts";

/** A regular file, open for reading. Its owner must close it. */
export interface OpenFile {
  readonly path: string;
  readonly file: Deno.FsFile;
  readonly info: Deno.FileInfo;
  readonly clock: Clock;
}

/** The result of `work`; rejects with a Fault if it takes longer than a file operation may take. */
export async function inStorageTime<T>(clock: Clock, work: Promise<T>): Promise<T> {
  const onLate = () => new Fault("responseCut", FILE_SILENT);
  return await inTime(work, FILE_MS, clock, onLate);
}

const CHUNK_BYTES = 64 * 1024;

/**
 * Opens `path` if it is a regular file that may be read: opening a named pipe might wait without end.
 * Rejects with a Fault where this process cannot open any file at the moment.
 */
export async function openFile(path: string, clock: Clock): Promise<OpenFile | undefined> {
  let file: Deno.FsFile | undefined;
  try {
    if (!(await Deno.stat(path)).isFile) return undefined;
    file = await Deno.open(path);
    const info = await file.stat();
    // The file may have been replaced since the first `stat`.
    if (info.isFile) return { path, file, info, clock };
  } catch (error) {
    const code = errorCode(error);
    if (isShortageCode("file", code)) throw new Fault("localShortage", code, { cause: error });
    // A missing file and one that may not be read are the same to a client.
  }
  file?.close();
  return undefined;
}

/** Answers a GET or HEAD with a file: 200, 206, 304 or 416. Owns the file from here. */
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

/** The range to send; undefined means the whole file, also for several ranges and for one that is malformed. */
function rangeOf(
  request: Request,
  size: number,
  modified: string | undefined,
): Range | "unsatisfiable" | undefined {
  const parts = /^bytes=(\d*)-(\d*)$/i.exec(request.headers.get("range")?.trim() ?? "");
  const [, from = "", to = ""] = parts ?? [];
  if (parts === null || (from === "" && to === "")) return undefined;
  // Our tags are weak, and If-Range needs a strong comparison: only an equal date can match.
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
 * longer be read errors the stream with a Fault: the response is then cut, which the client can detect.
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
        const count = await inStorageTime(clock, file.read(chunk));
        if (count === null) throw new Fault("responseCut", "the file became shorter meanwhile");
        // The bytes of one read are consistent; those of a later read may be from another version.
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
        // This also happens after a cancel, when nobody needs the error any more.
        close();
        throw error instanceof Fault
          ? error
          : new Fault("responseCut", "the file cannot be read", { cause: error });
      }
    },
    cancel: close,
  }, { highWaterMark: 0 });
}

/** True if the file has changed in another way than by growing, so that what was sent may be a mixture. */
async function isWrittenOver(file: Deno.FsFile, { mtime, size }: Deno.FileInfo): Promise<boolean> {
  const now = await file.stat();
  return now.size <= size && now.mtime?.getTime() !== mtime?.getTime();
}
