/**
 * An exchange made of a `Request` and a `Response`: by it tests ask the app of a gateway without a socket. The
 * request is printed as an HTTP/1.1 head and parsed again, so that the same strict rules apply. A `Response` has no
 * interim responses, no trailers and no upgrades, so they are missing here.
 */
import { inTime, settlesWithin } from "../../base/deadline.ts";
import { Fault } from "../../base/fault.ts";
import type { BodySource } from "../../http1/body.ts";
import type { Conn } from "../../net/conn.ts";
import type { Deadlines } from "../../net/deadlines.ts";
import { isBodyless } from "../../http1/framing.ts";
import { parseRequestHead, parseResponseHead, type RequestHead } from "../../http1/head.ts";
import { HeadWriter } from "../../http1/head_writer.ts";
import type { Client } from "../downstream.ts";

const LIMITS = { headBytesMax: 128 * 1024, fieldsMax: 512 };
/** Framing and hop-by-hop fields, which HTTP/2 does not have, and `TE`: trailers would not get through. */
const LEFT_OUT = new Set([
  "connection",
  "host",
  "transfer-encoding",
  "upgrade",
  "keep-alive",
  "te",
]);

/** One request, as the forwarder sees an exchange. */
export class FetchExchange implements Client {
  readonly head: RequestHead;
  readonly body: Client["body"];
  readonly peer: string;
  memo: unknown;
  readonly protocol = "HTTP/2.0";
  /** The body of the response, or its length. */
  #sending: BodySource | number = 0;
  /** The response. Resolves when `send` begins; rejects if it is aborted before. */
  readonly response: Promise<Response>;
  readonly #response = Promise.withResolvers<Response>();
  readonly #out = new HeadWriter();
  #status = 0;
  #started = false;
  #finished = false;
  #gone: Fault | undefined;
  #whenGone: ((fault: Fault) => void) | undefined;
  #fail: ((fault: Fault) => void) | undefined;

  /**
   * Makes the exchange of a request, as soon as it is known whether the request has a body. `bodyMs`: the
   * longest wait for a part of the body; `headBytesMax`: the size of the head, as HTTP/1 would have it. Rejects
   * with a Fault for a request that is malformed.
   */
  static async of(
    request: Request,
    peer: string,
    deadlines: Deadlines,
    limits: { readonly bodyMs: number; readonly headBytesMax: number },
  ): Promise<FetchExchange> {
    const head = headOf(request, limits.headBytesMax);
    const body = await bodyOf(request, deadlines, limits.bodyMs);
    return new FetchExchange(request, peer, head, body);
  }

  private constructor(
    request: Request,
    peer: string,
    head: RequestHead,
    body: Client["body"],
  ) {
    this.peer = peer;
    this.head = head;
    this.body = body;
    this.response = this.#response.promise;
    // A rejection that nobody awaits must not count as unhandled.
    this.response.catch(() => {});
    const leave = () => {
      // The signal is also aborted after a success.
      if (!this.#finished) this.#leave(new Fault("clientReset"));
    };
    request.signal.addEventListener("abort", leave);
    if (request.signal.aborted) leave();
  }

  get status(): number {
    return this.#status;
  }

  get responseStarted(): boolean {
    return this.#started;
  }

  get sentBytes(): number {
    return typeof this.#sending === "number" ? this.#sending : this.#sending.received ?? 0;
  }

  /** None: the streams of one HTTP/2 connection may belong to several clients. */
  get companion(): { close(): void } | undefined {
    return undefined;
  }

  set companion(companion: { close(): void } | undefined) {
    companion?.close();
  }

  get gone(): Fault | undefined {
    return this.#gone;
  }

  get whenGone(): ((fault: Fault) => void) | undefined {
    return this.#whenGone;
  }

  set whenGone(callback: ((fault: Fault) => void) | undefined) {
    this.#whenGone = callback;
    if (this.#gone !== undefined) callback?.(this.#gone);
  }

  /** Does nothing: a `Response` has no interim responses. */
  async write1xx(): Promise<void> {}

  respond(status: number, reason: string): HeadWriter {
    if (this.#started) throw new TypeError("Cannot respond twice to one request");
    this.#status = status;
    this.#out.clear();
    this.#out.statusLine(status, reason);
    return this.#out;
  }

  /** Without a `Date`, which tests do not compare. */
  answer(status: number, reason: string): HeadWriter {
    return this.respond(status, reason);
  }

  async send(body: BodySource | Uint8Array | null): Promise<void> {
    this.#out.endHead();
    const bytes = this.#out.view();
    const head = parseResponseHead(bytes, 0, bytes.length, LIMITS);
    if (head === undefined || head instanceof Fault) throw head ?? new Fault("badResponse");
    if (head.status > 599) throw new Fault("badResponse", `status ${head.status}`);
    this.#started = true;
    const headers = new Headers();
    for (let i = 0; i < head.fields.count; i++) {
      headers.append(head.fields.name(i), head.fields.value(i));
    }
    const { status } = head;
    // Of those without a body, HEAD and 304 may declare its length, 204 must not (RFC 9110 section 8.6).
    if (body?.length !== undefined && status !== 204) {
      headers.set("content-length", String(body.length));
    }
    if (body === null || isBodyless(this.head.method, status)) {
      this.#finished = true;
      return this.#response.resolve(new Response(null, { status, headers }));
    }
    this.#sending = body instanceof Uint8Array ? body.length : body;
    const sent = Promise.withResolvers<void>();
    const stream = this.#streamOf(body, sent);
    this.#response.resolve(new Response(stream, { status, headers }));
    await sent.promise;
    this.#finished = true;
  }

  /** The body as a stream. Settles `sent` when its last byte was taken, or when it has failed. */
  #streamOf(
    body: BodySource | Uint8Array,
    sent: PromiseWithResolvers<void>,
  ): ReadableStream<Uint8Array<ArrayBuffer>> {
    const source = body instanceof Uint8Array ? undefined : body;
    let whole = body instanceof Uint8Array ? body : undefined;
    return new ReadableStream({
      start: (controller) => {
        this.#fail = (fault) => {
          controller.error(fault);
          sent.reject(fault);
        };
      },
      pull: async (controller) => {
        try {
          const part = source === undefined ? whole : await source.read();
          whole = undefined;
          if (part === undefined) {
            controller.close();
            sent.resolve();
          } else controller.enqueue(part.slice());
        } catch (error) {
          controller.error(error);
          sent.reject(error);
        }
      },
      cancel: () => {
        this.#leave(new Fault("clientReset"));
        sent.reject(this.#gone);
      },
    }, { highWaterMark: 0 });
  }

  upgrade(): Promise<Conn> {
    return Promise.reject(new Fault("notImplemented", "upgrade over HTTP/2"));
  }

  abort(fault: Fault): void {
    if (this.#started) this.#fail?.(fault);
    else this.#response.reject(fault);
  }

  #leave(fault: Fault): void {
    if (this.#gone !== undefined) return;
    this.#gone = fault;
    this.#whenGone?.(fault);
  }
}

function headOf(request: Request, headBytesMax: number): RequestHead {
  const [, host = "", target = ""] = /^[a-z]+:\/\/([^/?#]*)([^#]*)/.exec(request.url) ?? [];
  const out = new HeadWriter();
  try {
    out.requestLine(request.method, target.startsWith("/") ? target : `/${target}`);
    out.line("host", host);
    for (const [name, value] of request.headers) {
      if (!LEFT_OUT.has(name)) out.line(name, value);
    }
    out.endHead();
  } catch (error) {
    // The writer throws on what cannot stand in a head.
    throw new Fault("badRequest", undefined, { cause: error });
  }
  const bytes = out.view();
  const head = parseRequestHead(bytes, 0, bytes.length, { ...LIMITS, headBytesMax });
  if (head === undefined || head instanceof Fault) throw head ?? new Fault("badRequest");
  return head;
}

/** A `Request` may have a stream whether or not anything comes in it. */
async function bodyOf(
  request: Request,
  deadlines: Deadlines,
  bodyMs: number,
): Promise<Client["body"]> {
  const declared = request.headers.get("content-length");
  const reader = declared === "0" ? undefined : request.body?.getReader();
  if (reader === undefined) return NO_BODY;
  const body = new FetchBody(reader, declared, deadlines, bodyMs);
  if (declared === null) await body.begin();
  return body.none ? NO_BODY : body;
}

const NO_BODY: Client["body"] = {
  none: true,
  length: 0,
  ended: true,
  read: () => Promise.resolve(undefined),
};

/** How long to wait, without a declared length, to learn whether there is a body. */
const FIRST_PART_MS = 100;

class FetchBody implements BodySource {
  readonly length: number | undefined;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #deadlines: Deadlines;
  readonly #bodyMs: number;
  /** The pending read, or one whose part nobody has taken yet. */
  #reading: Promise<Uint8Array | undefined> | undefined;
  #ended = false;
  #isNone = false;

  constructor(
    reader: ReadableStreamDefaultReader<Uint8Array>,
    declared: string | null,
    deadlines: Deadlines,
    bodyMs: number,
  ) {
    this.#reader = reader;
    this.#deadlines = deadlines;
    this.#bodyMs = bodyMs;
    this.length = declared === null ? undefined : Number(declared);
  }

  get none(): boolean {
    return this.#isNone;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Resolves when it is known whether there is a body, or after `FIRST_PART_MS`. */
  async begin(): Promise<void> {
    const reading = this.#reading = this.#next();
    // If it fails, it fails again where the part is used.
    const first = reading.then((part) => this.#isNone = part === undefined, () => {});
    await settlesWithin(first, FIRST_PART_MS, this.#deadlines.clock);
  }

  async read(): Promise<Uint8Array | undefined> {
    if (this.#ended) return undefined;
    const onLate = () => new Fault("requestTimeout");
    try {
      const reading = this.#reading ??= this.#next();
      const part = await inTime(reading, this.#bodyMs, this.#deadlines.clock, onLate);
      this.#reading = undefined;
      if (part === undefined) this.#ended = true;
      return part;
    } catch (error) {
      throw error instanceof Fault ? error : new Fault("clientReset", undefined, { cause: error });
    }
  }

  /** Skips empty parts. */
  async #next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const part = await this.#reader.read();
      if (part.done) return undefined;
      if (part.value.length > 0) return part.value;
    }
  }
}
