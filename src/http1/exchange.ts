import type { Body, BodySource } from "./body.ts";
import type { Conn } from "./conn.ts";
import type { HeadWriter, RequestHead } from "./head.ts";
import type { Fault } from "../base/fault.ts";
/** One request with its response, raw. */
export declare class Exchange {
  readonly head: RequestHead;
  readonly body: Body;
  /** Whatever `serve` was told about the peer, e.g. its address. */
  readonly peer: string;
  /** True once a byte of the final response was handed to the system. */
  readonly responseStarted: boolean;
  /** Set once the client is known to have gone (reset, or half-closed and silent for the grace). */
  readonly gone: Fault | undefined;
  /** Called once when `gone` is set; one slot, the forwarder's. */
  whenGone: ((fault: Fault) => void) | undefined;
  /** Sends a 1xx (100, 102, 103); nothing toward HTTP/1.0. */
  inform(status: number, reason: string, fill?: (head: HeadWriter) => void): Promise<void>;
  /** Begins the final response. */
  respond(status: number, reason: string): HeadWriter;
  /** Sends the head begun by `respond`, framed for this client, then the body. Resolves when all was handed over. */
  send(body: BodySource | Uint8Array | null): Promise<void>;
  /** Sends the 101 begun by `respond` and gives the connection away: bytes already read come first. */
  upgrade(): Promise<Conn>;
  /** Cuts the client off: it sees neither terminator nor full length. */
  abort(fault: Fault): void;
}
