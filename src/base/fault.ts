/**
 * All that can go wrong between two peers, and for each case what follows from it. Errors of the system become
 * one of these faults where they occur, and stay in `cause`. No code depends on the text of a message.
 */

import { describe } from "./describe.ts";
import { connectFaultOfCode, connectShortage, errorCode } from "./errno.ts";

interface FaultRow {
  /** Which side caused it. */
  readonly side: "upstream" | "client" | "proxy";
  /** True when it proves that nothing reached the upstream, so that another may be tried at once. */
  readonly nothingSent: boolean;
  /** True for an explicit refusal by the peer; false for a time-out or an unreachable host. */
  readonly hard: boolean;
  /** What a person reads in a log line. */
  readonly words: string;
  /** What an HTTP client is answered, if there is still a response to begin; 502 where it is missing. */
  readonly status?: number;
}

/**
 * What follows from each fault: on whose side it is, whether the peer can have received anything, whether it
 * is explicit (`hard`) or only silence, how it is called, and the HTTP status for the client (502 if none is
 * given).
 */
export const FAULTS = {
  connectRefused: { side: "upstream", nothingSent: true, hard: true, words: "connection refused" },
  connectTimeout: {
    side: "upstream",
    nothingSent: true,
    hard: false,
    words: "no answer to connect",
    status: 504,
  },
  connectUnreachable: {
    side: "upstream",
    nothingSent: true,
    hard: false,
    words: "no route to host",
  },
  connectReset: {
    side: "upstream",
    nothingSent: true,
    hard: true,
    words: "connection reset while connecting",
  },
  nameUnknown: { side: "upstream", nothingSent: true, hard: false, words: "name does not resolve" },
  // Trouble of this machine: it says nothing about any upstream.
  localShortage: {
    side: "proxy",
    nothingSent: true,
    hard: false,
    words: "something is short on this machine",
    status: 503,
  },
  nameSilent: {
    side: "proxy",
    nothingSent: true,
    hard: false,
    words: "the name service does not answer",
    status: 503,
  },
  connectFailed: { side: "upstream", nothingSent: true, hard: false, words: "cannot connect" },
  closedUnused: {
    side: "upstream",
    nothingSent: true,
    hard: true,
    words: "closed before any byte",
  },
  upstreamReset: { side: "upstream", nothingSent: false, hard: true, words: "reset by upstream" },
  clientReset: { side: "client", nothingSent: false, hard: true, words: "reset by client" },
  clientGone: { side: "client", nothingSent: true, hard: true, words: "client left while waiting" },
  idleTimeout: { side: "proxy", nothingSent: false, hard: false, words: "idle for too long" },
  holdTimeout: {
    side: "proxy",
    nothingSent: true,
    hard: false,
    words: "held for too long",
    status: 503,
  },
  noUpstream: {
    side: "proxy",
    nothingSent: true,
    hard: false,
    words: "no upstream is usable",
    status: 503,
  },
  tooManyHeld: {
    side: "proxy",
    nothingSent: true,
    hard: false,
    words: "too many clients wait already",
    status: 503,
  },
  /** A bug in this program; what was thrown is its cause. */
  internalError: {
    side: "proxy",
    nothingSent: false,
    hard: false,
    words: "internal error",
    status: 500,
  },
  upstreamDown: { side: "upstream", nothingSent: false, hard: true, words: "upstream went down" },
  drained: { side: "proxy", nothingSent: false, hard: false, words: "drain time was up" },
  // HTTP, toward the client
  badRequest: {
    side: "client",
    nothingSent: true,
    hard: true,
    words: "malformed request",
    status: 400,
  },
  headTooLarge: {
    side: "client",
    nothingSent: true,
    hard: true,
    words: "request head too large",
    status: 431,
  },
  requestTimeout: {
    side: "client",
    nothingSent: false,
    hard: false,
    words: "request came too slowly",
    status: 408,
  },
  bodyTooLarge: {
    side: "client",
    nothingSent: false,
    hard: true,
    words: "request body too large",
    status: 413,
  },
  expectationUnknown: {
    side: "client",
    nothingSent: true,
    hard: true,
    words: "unknown expectation",
    status: 417,
  },
  notImplemented: {
    side: "client",
    nothingSent: true,
    hard: true,
    words: "not implemented",
    status: 501,
  },
  versionUnsupported: {
    side: "client",
    nothingSent: true,
    hard: true,
    words: "HTTP version not supported",
    status: 505,
  },
  methodRefused: {
    side: "client",
    nothingSent: true,
    hard: true,
    words: "method not allowed",
    status: 405,
  },
  loopDetected: {
    side: "proxy",
    nothingSent: true,
    hard: false,
    words: "request came back to the proxy that sent it",
    status: 508,
  },
  http2Broken: {
    side: "client",
    nothingSent: false,
    hard: true,
    words: "broke a rule of HTTP/2",
  },
  slowReader: { side: "client", nothingSent: false, hard: false, words: "client reads too slowly" },
  // HTTP, toward the upstream
  tlsFailed: { side: "upstream", nothingSent: true, hard: true, words: "TLS handshake failed" },
  badResponse: { side: "upstream", nothingSent: false, hard: true, words: "malformed response" },
  responseCut: {
    side: "upstream",
    nothingSent: false,
    hard: true,
    words: "response was cut short",
  },
  upstreamStalled: {
    side: "upstream",
    nothingSent: false,
    hard: false,
    words: "upstream stopped reading",
    status: 504,
  },
  /** A status that the operator has asked to retry on. */
  statusRefused: {
    side: "upstream",
    nothingSent: false,
    hard: false,
    words: "answered with a status to retry on",
  },
  responseTimeout: {
    side: "upstream",
    nothingSent: false,
    hard: false,
    words: "no response in time",
    status: 504,
  },
} as const satisfies Record<string, FaultRow>;

/** The name of a fault, the key of its row. */
export type FaultName = keyof typeof FAULTS;

/** The status that an HTTP client is answered when this fault ended its request. */
export function statusOf(fault: FaultName): number {
  const row: FaultRow = FAULTS[fault];
  return row.status ?? 502;
}

/** Trouble with a peer, thrown to the code that decides what to do about it. */
export class Fault extends Error {
  override readonly name = "Fault";
  /** True as soon as it was published as an event, so that it is not published again. */
  isReported = false;
  /** True once the exchange that it ended has its line in the access log. */
  isLogged = false;

  constructor(readonly fault: FaultName, detail?: string, options?: { cause?: unknown }) {
    super(
      detail === undefined ? FAULTS[fault].words : `${FAULTS[fault].words}: ${detail}`,
      options,
    );
  }
}

/** Returns what was thrown as a fault. Anything but a `Fault` is a bug in this program: `internalError`. */
export function faultOf(error: unknown): Fault {
  if (error instanceof Fault) return error;
  return new Fault("internalError", describe(error), { cause: error });
}

/** Turns what `Deno.connect` threw into a fault. `timedOut`: the caller ended the attempt because its time was up. */
export function connectFault(error: unknown, timedOut: boolean): Fault {
  const cause = { cause: error };
  if (timedOut) return new Fault("connectTimeout", undefined, cause);
  if (error instanceof Deno.errors.ConnectionRefused) {
    return new Fault("connectRefused", undefined, cause);
  }
  if (error instanceof Deno.errors.ConnectionReset) {
    return new Fault("connectReset", undefined, cause);
  }
  if (error instanceof Deno.errors.TimedOut) return new Fault("connectTimeout", undefined, cause);
  // A unix socket whose file is missing proves as much as a refused port.
  if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
    return new Fault("connectRefused", "no such socket", cause);
  }
  const code = errorCode(error);
  const known = connectFaultOfCode(code);
  if (known === "localShortage") return new Fault(known, connectShortage(code, code!), cause);
  if (known !== undefined) return new Fault(known, undefined, cause);
  // A failed look-up is a plain Error with neither class nor code (seen in Deno 2.9).
  if (error instanceof Error && error.constructor === Error && code === undefined) {
    return new Fault("nameUnknown", undefined, cause);
  }
  return new Fault("connectFailed", error instanceof Error ? error.message : String(error), cause);
}
