import type { Fields } from "./fields.ts";
export declare class RequestHead {
  readonly method: string;
  /** The request target exactly as it came. */
  readonly target: string;
  /** Path and query exactly as they came, also when the target was in absolute form; `*` for `OPTIONS *`. */
  readonly path: string;
  /** Authority of the request: of an absolute target, else the Host field; "" for HTTP/1.0 without. */
  readonly host: string;
  readonly minor: 0 | 1;
  readonly fields: Fields;
  readonly expectsContinue: boolean;
  /** True if it carries `Upgrade` and `Connection: upgrade`. */
  readonly wantsUpgrade: boolean;
}
export declare class ResponseHead {
  readonly status: number;
  readonly reason: string;
  readonly minor: 0 | 1;
  readonly fields: Fields;
}
/** Prints a head. `Content-Length`, `Transfer-Encoding`, `Connection`, `Keep-Alive` are added by http1. */
export declare class HeadWriter {
  /** Adds one line. Throws a TypeError on a name or value that would break the head. */
  line(name: string, value: string): void;
  /** Adds line `index` of `fields` byte for byte; neighbours are copied in one go. */
  copy(fields: Fields, index: number): void;
}
