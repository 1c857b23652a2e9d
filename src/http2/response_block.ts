/** Prints heads and trailers of responses, which are HTTP/1.1 lines until here, as frames. */
import { Fault } from "../base/fault.ts";
import type { Fields } from "../http1/fields.ts";
import { parseResponseHead } from "../http1/head.ts";
import type { HeadWriter } from "../http1/head_writer.ts";
import { FLAG, FRAME, type FrameWriter } from "./frames.ts";
import { endBlock, putField, putInteger, putStatus } from "./hpack_encoder.ts";
import { isConnectionField } from "./request_head.ts";

/** Larger than any head that `http1/` accepts. */
const LIMITS = { headBytesMax: 256 * 1024, fieldsMax: 1024 };
/** `content-length` in the static table. */
const CONTENT_LENGTH = 28;

/** What a HEADERS frame is to say beside the lines that were printed. */
export interface BlockOptions {
  /** `Content-Length`, where the lines have none; undefined if it is not known. */
  readonly length?: number | undefined;
  /** True if nothing follows on this stream. */
  readonly isLast: boolean;
  /** The name of a field that is left out, in lower case. */
  readonly without?: string;
  /** Stands before all fields, as it is. */
  readonly first?: number | undefined;
  /** Stands in place of the status of the head. */
  readonly status?: number;
}

/** Adds the head that `head` holds, which was ended by `endHead`. Throws a Fault if it is no head of a response. */
export function putHead(
  out: FrameWriter,
  stream: number,
  head: HeadWriter,
  options: BlockOptions,
  offsets?: number[],
): void {
  const parsed = parseResponseHead(head.bytes, 0, head.length, LIMITS, offsets);
  if (parsed === undefined || parsed instanceof Fault) throw parsed ?? new Fault("badResponse");
  const at = out.begin(FRAME.headers, options.isLast ? FLAG.endStream : 0, stream);
  if (options.first !== undefined) out.byte(options.first);
  putStatus(out, options.status ?? parsed.status);
  putFields(out, parsed.fields, options.without);
  if (options.length !== undefined) {
    const digits = String(options.length);
    putInteger(out, 0, 4, CONTENT_LENGTH);
    putInteger(out, 0, 7, digits.length);
    for (let i = 0; i < digits.length; i++) out.byte(digits.charCodeAt(i));
  }
  endBlock(out, at, stream);
}

/** Adds trailers, which end the stream. */
export function putTrailers(out: FrameWriter, stream: number, trailers: Fields): void {
  const at = out.begin(FRAME.headers, FLAG.endStream, stream);
  putFields(out, trailers);
  endBlock(out, at, stream);
}

function putFields(out: FrameWriter, fields: Fields, without?: string): void {
  const { bytes } = fields;
  for (let i = 0; i < fields.count; i++) {
    const start = fields.lineStart(i);
    const end = start + fields.nameLength(i);
    if (isConnectionField(bytes, start, end)) continue;
    if (without !== undefined && fields.is(i, without)) continue;
    putField(out, bytes, start, end, fields.valueStart(i), fields.valueEnd(i));
  }
}
