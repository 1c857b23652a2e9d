/**
 * The access log of one service: a line for each exchange, and for each request that the server itself refused.
 * Lines are collected and written in batches, one batch at a time; later lines wait in a bounded buffer. So a slow
 * reader or a full disk delays no exchange and needs no more memory: lines for which there is no room are dropped,
 * counted and reported.
 */
import { Networks } from "../base/cidr.ts";
import type { Clock } from "../base/clock.ts";
import { type Fault, FAULTS, statusOf } from "../base/fault.ts";
import type { LinesOutcome } from "../base/lines_outcome.ts";
import type { Publish } from "../events/events.ts";
import type { Client } from "./downstream.ts";
import { clientOf } from "./forwarded_lines.ts";
import { wordsOf } from "./answers.ts";
import { type AccessFormat, accessLine, type AccessRecord } from "./access_record.ts";

/** What the log needs from outside. */
export interface AccessLogParts {
  readonly clock: Clock;
  readonly publish: Publish;
  /** Writes whole lines. Must not reject; may take any time. */
  readonly write: (lines: Uint8Array<ArrayBuffer>) => Promise<LinesOutcome>;
}

/** The facts about an exchange that its line needs. */
export interface AccessNotes {
  /** When it began: by the clock, and for people. */
  readonly since: number;
  readonly wall: number;
  /** When the upstream's response began; NaN before. */
  firstByteAt: number;
  heldMs: number;
  /** The upstream that was asked last; empty if none was. */
  upstream: string;
  attempts: number;
  /** Why it was answered with an error page. */
  fault: Fault | undefined;
  /** Bytes of the request's body. */
  receivedBytes: number;
  /** The id that the request was given; undefined if it has only what the client sent. */
  requestId: string | undefined;
  /** Bytes of an upgraded connection. */
  tunnel: { readonly fromClient: number; readonly fromUpstream: number } | undefined;
}

/** A line waits for others at most this long, in milliseconds … */
const BATCH_MS = 100;
/** … or until there are so many characters. */
const BATCH_CHARS = 32 * 1024;
/** Characters that may wait while a batch is being written. */
const WAITING_CHARS_MAX = 1024 * 1024;
/** Lost lines are reported this long after the first one, and then at most this often, in milliseconds. */
const TELL_FIRST_MS = 1_000;
const TELL_NEXT_MS = 60_000;

/** The status that is logged where the client left before there was one, as nginx has it. */
const CLIENT_LEFT = 499;

/** The log of one service in one thread. */
export class AccessLog {
  readonly #service: string;
  readonly #format: AccessFormat;
  readonly #trusted: Networks;
  readonly #parts: AccessLogParts;
  readonly #encoder = new TextEncoder();
  #text = "";
  #cancelBatch: (() => void) | undefined;
  #writing: Promise<void> | undefined;
  #isTelling = false;
  #told = 0;
  #toldAt = -Infinity;
  #reason = "";
  /** Lines that were lost so far. */
  lost = 0;

  constructor(
    settings: {
      readonly service: string;
      readonly format: AccessFormat;
      /** Proxies whose statements about their clients are trusted; none by default. */
      readonly trusted?: Networks;
    },
    parts: AccessLogParts,
  ) {
    this.#service = settings.service;
    this.#format = settings.format;
    this.#trusted = settings.trusted ?? new Networks([]);
    this.#parts = parts;
  }

  /** An exchange begins. */
  begin(): AccessNotes {
    const { clock } = this.#parts;
    return {
      since: clock.now(),
      wall: clock.wall(),
      firstByteAt: NaN,
      heldMs: 0,
      upstream: "",
      attempts: 0,
      fault: undefined,
      receivedBytes: 0,
      requestId: undefined,
      tunnel: undefined,
    };
  }

  /** It has ended; with `fault` if it failed. */
  ended(client: Client, scheme: "http" | "https", notes: AccessNotes, fault?: Fault): void {
    if (fault !== undefined) fault.isLogged = true;
    const { head } = client;
    const { since, firstByteAt, tunnel } = notes;
    const why = fault ?? notes.fault;
    this.#add({
      wall: notes.wall,
      service: this.#service,
      client: clientOf(head.fields, client.peer, this.#trusted),
      peer: client.peer,
      method: head.method,
      scheme,
      host: head.host,
      target: head.target,
      protocol: client.protocol ?? (head.minor === 1 ? "HTTP/1.1" : "HTTP/1.0"),
      status: statusFor(client, fault),
      sentBytes: client.sentBytes + (tunnel?.fromUpstream ?? 0),
      receivedBytes: notes.receivedBytes + (tunnel?.fromClient ?? 0),
      upstream: notes.upstream,
      attempts: notes.attempts,
      totalMs: this.#parts.clock.now() - since,
      firstByteMs: firstByteAt >= since ? firstByteAt - since : undefined,
      heldMs: notes.heldMs,
      outcome: why === undefined ? "done" : wordsOf(why.fault),
      requestId: notes.requestId ?? head.fields.get("x-request-id") ?? "",
      referer: head.fields.get("referer") ?? "",
      userAgent: head.fields.get("user-agent") ?? "",
    });
  }

  /**
   * The server has refused what a client sent. Does nothing for the fault of an exchange that has its line
   * already, and for a connection that ended without an answer.
   */
  refused(fault: Fault, peer: string, scheme: "http" | "https"): void {
    const row: { readonly side: string; readonly status?: number } = FAULTS[fault.fault];
    const isAnswered = row.side === "client" ? row.status !== undefined : row.side === "proxy";
    if (fault.isLogged || !isAnswered) return;
    this.#add({
      wall: this.#parts.clock.wall(),
      service: this.#service,
      client: peer,
      peer,
      method: "",
      scheme,
      host: "",
      target: "",
      protocol: "",
      status: statusOf(fault.fault),
      sentBytes: 0,
      receivedBytes: 0,
      upstream: "",
      attempts: 0,
      totalMs: 0,
      firstByteMs: undefined,
      heldMs: 0,
      outcome: wordsOf(fault.fault),
      requestId: "",
      referer: "",
      userAgent: "",
    });
  }

  /** Resolves when all lines so far were written, or are lost. */
  async flushed(): Promise<void> {
    while (this.#text !== "" || this.#writing !== undefined) {
      this.#flush();
      await this.#writing;
    }
  }

  #add(record: AccessRecord): void {
    if (this.#text.length >= WAITING_CHARS_MAX) {
      return this.#lose(1, "they could not be written in time");
    }
    this.#text += `${accessLine(record, this.#format)}\n`;
    if (this.#text.length >= BATCH_CHARS) this.#flush();
    else this.#cancelBatch ??= this.#parts.clock.after(BATCH_MS, () => this.#batchIsDue());
  }

  #batchIsDue(): void {
    this.#cancelBatch = undefined;
    this.#flush();
  }

  /** Writes the collected lines, unless a batch is still being written. */
  #flush(): void {
    if (this.#writing !== undefined || this.#text === "") return;
    this.#cancelBatch?.();
    this.#cancelBatch = undefined;
    const bytes = this.#encoder.encode(this.#text);
    this.#text = "";
    this.#writing = this.#parts.write(bytes).then(({ lost, reason }) => {
      this.#writing = undefined;
      if (lost > 0) this.#lose(lost, reason);
      if (this.#text.length >= BATCH_CHARS || this.#cancelBatch === undefined) this.#flush();
    });
  }

  #lose(count: number, reason: string): void {
    this.lost += count;
    this.#reason = reason;
    if (this.#isTelling) return;
    this.#isTelling = true;
    const { clock, publish } = this.#parts;
    const nextMs = this.#toldAt + TELL_NEXT_MS - clock.now();
    clock.after(Math.max(TELL_FIRST_MS, nextMs), () => {
      this.#isTelling = false;
      this.#toldAt = clock.now();
      const lost = this.lost - this.#told;
      this.#told = this.lost;
      publish({ type: "accessLog.lost", count: lost, reason: this.#reason });
    });
  }
}

/** The status that the client has been sent, or is about to be sent because of `fault`. */
function statusFor(client: Client, fault: Fault | undefined): number {
  if (client.responseStarted || fault === undefined) return client.status;
  return client.gone === undefined ? statusOf(fault.fault) : CLIENT_LEFT;
}
