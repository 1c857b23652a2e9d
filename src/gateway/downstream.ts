/**
 * The client's side of an exchange as the forwarder uses it. `Exchange` of `http1/` implements it for HTTP/1,
 * `StreamExchange` of `http2/` for HTTP/2.
 */
import type { BodySource } from "../http1/body.ts";
import type { Exchange } from "../http1/exchange.ts";
import type { Task } from "../http1/task.ts";

type ExchangePart = Pick<
  Exchange,
  | "head"
  | "peer"
  | "responseStarted"
  | "status"
  | "sentBytes"
  | "gone"
  | "whenGone"
  | "write1xx"
  | "respond"
  | "answer"
  | "send"
  | "upgrade"
  | "abort"
  | "companion"
  | "memo"
>;

/** The client of one exchange. */
export interface Client extends ExchangePart {
  readonly body: BodySource & {
    /** True if there is no payload at all. */
    readonly none: boolean;
  };
  /** The protocol if it is not that of the head. */
  readonly protocol?: string;
}

/** Answers one request of a client, who has reached us by `scheme`. Fails with a Fault if the server is to answer with it. */
export type Serve = (downstream: Client, scheme: "http" | "https") => Promise<void> | Task;
