/** The types that the sender of a request and the connection to its upstream share. */
import type { Fault } from "../base/fault.ts";
import type { Body } from "./body.ts";
import type { ResponseHead } from "./head.ts";

/** A response whose body is still to be read. */
export interface Reply {
  readonly head: ResponseHead;
  readonly body: Body;
}

/** How one request is sent and its response awaited. */
export interface ExchangeOptions {
  /** From the last byte of the request to the last of the response head, in milliseconds; 0 is never. */
  readonly responseMs: number;
  /** Called for each interim response (100, 102, 103); the response waits for what it returns. */
  readonly onInformational?: (head: ResponseHead) => void | Promise<void>;
  /** Send the body only after `100 Continue`, or after a second in which nothing came. */
  readonly waitForContinue?: boolean;
  /** Ask to switch protocols: adds `Connection: upgrade`; the caller writes the `Upgrade` line. */
  readonly upgrade?: boolean;
}

/** Receives the outcome of a request. Neither method may throw. */
export interface ReplyListener {
  /** The final response head; the request body may still be under way when an early response comes. */
  replied(reply: Reply): void;
  /** The connection is gone, and nothing takes from the request's body any more. */
  failed(fault: Fault): void;
}
