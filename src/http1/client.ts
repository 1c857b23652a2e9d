import type { Body, BodySource } from "./body.ts";
import type { Conn } from "./conn.ts";
import type { HeadWriter, ResponseHead } from "./head.ts";
import type { Fault } from "../base/fault.ts";
export interface Reply {
  readonly head: ResponseHead;
  readonly body: Body;
}
/** One upstream connection; one request at a time. */
export declare class ClientConnection {
  /** True if it has served a request before: it may be stale. */
  readonly reused: boolean;
  /** True once any byte of the present request was handed to the system. */
  readonly requestStarted: boolean;
  /** True once any byte of the present response arrived, 1xx included. */
  readonly responseStarted: boolean;
  /** Begins a request head. `Host` is the caller's line; framing and `Connection` are added here. */
  request(method: string, target: string): HeadWriter;
  /**
   * Sends the request and waits for the final response head. A body is still on its way when an early
   * response comes. Rejects with a Fault: of the source, or of the upstream.
   */
  exchange(body: BodySource | Uint8Array | null, options: {
    readonly responseMs: number;
    /** An interim response (100, 102, 103). */
    readonly onInform?: (head: ResponseHead) => void;
    /** Send the body only after `100 Continue` (or when a final response makes it needless). */
    readonly waitForContinue?: boolean;
    /** Ask to switch protocols: sends `Connection: upgrade`; the `Upgrade` line is the caller's. */
    readonly upgrade?: boolean;
  }): Promise<Reply>;
  /** After the response: back to the pool if both sides may, else closed. */
  release(): void;
  /** Ends it now; what waits on it rejects with `fault`. */
  abort(fault: Fault): void;
  /** After a 101: the raw connection, bytes already read come first. */
  detach(): Conn;
}
