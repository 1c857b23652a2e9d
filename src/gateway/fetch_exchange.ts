/**
 * An exchange made of what `Deno.serve` hands out, for HTTP/2, so that the same forwarder serves it. The
 * request is printed as an HTTP/1.1 head and parsed again: from there on the same strict rules hold.
 * What `Deno.serve` hides is missing here: interim responses, trailers, and connections to upgrade.
 */
import { Fault } from "../base/fault.ts";
import type { BodySource } from "../http1/body.ts";
import type { Conn } from "../net/conn.ts";
import type { Deadlines } from "../net/deadlines.ts";
import { isBodyless } from "../http1/framing.ts";
import { parseRequestHead, parseResponseHead, type RequestHead } from "../http1/head.ts";
import { HeadWriter } from "../http1/head_writer.ts";
import type { Client } from "./downstream.ts";

const LIMITS = { headBytesMax: 128 * 1024, fieldsMax: 512 };
/** Framing and hop fields that an HTTP/2 request cannot mean, and `TE`: we could not keep its promise. */
const LEFT_OUT = new Set([
  "connection",
  "host",
  "transfer-encoding",
  "upgrade",
  "keep-alive",
  "te",
]);

export class FetchExchange implements Client {
  readonly head: RequestHead;
  readonly body: Client["body"];
  readonly peer: string;
  /** What `Deno.serve` is to be given; settles when `send` begins, or when it is aborted before. */
  readonly response: Promise<Response>;
  readonly #response = Promise.withResolvers<Response>();
  readonly #out = new HeadWriter();
  #started = false;
  #finished = false;
  #gone: Fault | undefined;
  #whenGone: ((fault: Fault) => void) | undefined;
  #fail: ((fault: Fault) => void) | undefined;

  /**
   * The exchange of a request whose body, if it has one, has begun or is known to take its time. `bodyMs`:
   * how long a part of the body may take. Rejects with a Fault for a request we do not take.
   */
  static async of(
    request: Request,
    peer: string,
    deadlines: Deadlines,
    bodyMs: number,
  ): Promise<FetchExchange> {
    const head = headOf(request);
    const body = await bodyOf(request, deadlines, bodyMs);
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
    // Whoever awaits it hears of it; nobody does if the app answers by itself.
    this.response.catch(() => {});
    const leave = () => {
      // It also fires after a success.
      if (!this.#finished) this.#leave(new Fault("clientReset"));
    };
    request.signal.addEventListener("abort", leave);
    if (request.signal.aborted) leave();
  }

  get responseStarted(): boolean {
    return this.#started;
  }

  /** Streams of one HTTP/2 connection may be anybody's: nothing is kept for it. */
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

  /** Nothing: `Deno.serve` knows no interim responses. */
  async write1xx(): Promise<void> {}

  respond(status: number, reason: string): HeadWriter {
    if (this.#started) throw new TypeError("Cannot respond twice to one request");
    this.#out.clear();
    this.#out.statusLine(status, reason);
    return this.#out;
  }

  /** `Deno.serve` adds the `Date`. */
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
    if (body?.length !== undefined) headers.set("content-length", String(body.length));
    const { status } = head;
    if (body === null || isBodyless(this.head.method, status)) {
      this.#finished = true;
      return this.#response.resolve(new Response(null, { status, headers }));
    }
    const sent = Promise.withResolvers<void>();
    const stream = this.#streamOf(body, sent);
    this.#response.resolve(new Response(stream, { status, headers }));
    await sent.promise;
    this.#finished = true;
  }

  /** Settles `sent` when the last byte was taken, or when there will be no more. */
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

function headOf(request: Request): RequestHead {
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
    // The writer refuses what would not be a head.
    throw new Fault("badRequest", undefined, { cause: error });
  }
  const bytes = out.view();
  const head = parseRequestHead(bytes, 0, bytes.length, LIMITS);
  if (head === undefined || head instanceof Fault) throw head ?? new Fault("badRequest");
  return head;
}

/** Of `Deno.serve`, each request that is neither GET nor HEAD has a stream, whether or not it has a body. */
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

/** A body of undeclared length is waited for this long, to learn whether there is one at all. */
const FIRST_PART_MS = 100;

class FetchBody implements BodySource {
  readonly length: number | undefined;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #deadlines: Deadlines;
  readonly #bodyMs: number;
  /** The read that is under way, or has brought what nobody has asked for yet. */
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

  /** Resolves once it is known whether there is a body, or when the client takes its time with it. */
  async begin(): Promise<void> {
    const reading = this.#reading = this.#next();
    // What fails here comes up again where the part is used.
    const first = reading.then((part) => this.#isNone = part === undefined, () => {});
    const late = Promise.withResolvers<void>();
    const cancel = this.#deadlines.clock.after(FIRST_PART_MS, late.resolve);
    await Promise.race([first, late.promise]);
    cancel();
  }

  async read(): Promise<Uint8Array | undefined> {
    if (this.#ended) return undefined;
    const late = Promise.withResolvers<never>();
    const cancel = this.#deadlines.clock.after(
      this.#bodyMs,
      () => late.reject(new Fault("requestTimeout")),
    );
    try {
      const part = await Promise.race([this.#reading ??= this.#next(), late.promise]);
      this.#reading = undefined;
      if (part === undefined) this.#ended = true;
      return part;
    } catch (error) {
      throw error instanceof Fault ? error : new Fault("clientReset", undefined, { cause: error });
    } finally {
      cancel();
    }
  }

  /** Skips parts that are empty, which `Deno.serve` hands out where there is no body. */
  async #next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const part = await this.#reader.read();
      if (part.done) return undefined;
      if (part.value.length > 0) return part.value;
    }
  }
}
