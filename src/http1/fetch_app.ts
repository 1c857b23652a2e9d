/**
 * The bridge to apps that speak `Request` and `Response`: a request that looks like one and builds the
 * real one only when something is asked that needs it, and a response written out. An app that only
 * routes by method and URL costs no WHATWG object at all.
 */
import { STATUS_TEXT } from "@std/http/status";
import type { Fault } from "../base/fault.ts";
import type { BodySource } from "./body.ts";
import type { Exchange } from "./exchange.ts";
import { isBodyless, parseLength } from "./framing.ts";

/** The phrase for a status; empty for one nobody knows. */
export function reasonOf(status: number): string {
  return STATUS_TEXT[status] ?? "";
}

/** Built on demand; what it lacks goes to the real `Request` behind it. */
export class LightRequest {
  readonly #exchange: Exchange;
  #real: Request | undefined;
  #headers: Headers | undefined;
  #url: string | undefined;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  get method(): string {
    return this.#exchange.head.method;
  }

  /** The target as it came behind `http://` and the host: nothing is normalised. */
  get url(): string {
    return this.#url ??= `http://${this.#exchange.head.host || "localhost"}${
      slashed(this.#exchange)
    }`;
  }

  get headers(): Headers {
    if (this.#headers !== undefined) return this.#headers;
    const headers = new Headers();
    const { fields } = this.#exchange.head;
    for (let i = 0; i < fields.count; i++) headers.append(fields.name(i), fields.value(i));
    return this.#headers = headers;
  }

  /** The real thing. Its body is read from the connection as it is asked for. */
  get real(): Request {
    if (this.#real !== undefined) return this.#real;
    const { head, body } = this.#exchange;
    const carries = !body.none && head.method !== "GET" && head.method !== "HEAD";
    const gone = new AbortController();
    alsoWhenGone(this.#exchange, (fault) => gone.abort(fault));
    return this.#real = new Request(this.url, {
      method: head.method,
      headers: this.headers,
      body: carries ? body.stream() : null,
      signal: gone.signal,
    });
  }
}

function alsoWhenGone(
  exchange: Pick<Exchange, "gone" | "whenGone">,
  callback: (fault: Fault) => void,
): void {
  if (exchange.gone !== undefined) return callback(exchange.gone);
  const before = exchange.whenGone;
  exchange.whenGone = (fault) => {
    before?.(fault);
    callback(fault);
  };
}

function slashed(exchange: Exchange): string {
  const { path } = exchange.head;
  return path === "*" ? "/*" : path;
}

const PASSED_ON = [
  "arrayBuffer",
  "blob",
  "body",
  "bodyUsed",
  "bytes",
  "cache",
  "clone",
  "credentials",
  "destination",
  "formData",
  "integrity",
  "json",
  "mode",
  "redirect",
  "referrer",
  "referrerPolicy",
  "signal",
  "text",
] as const;

for (const name of PASSED_ON) {
  Object.defineProperty(LightRequest.prototype, name, {
    get(this: LightRequest) {
      const value: unknown = Reflect.get(this.real, name);
      return typeof value === "function" ? value.bind(this.real) : value;
    },
  });
}
// So that `instanceof Request` holds.
Object.setPrototypeOf(LightRequest.prototype, Request.prototype);

/** Set by `exchange` itself; from an app they would contradict it. */
const FRAMING_FIELDS = new Set([
  "connection",
  "content-length",
  "date",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
]);

/** What `sendResponse` needs of an exchange. */
type Answering = Pick<Exchange, "head" | "answer" | "send" | "gone" | "whenGone">;

/** Writes a `Response` out. Rejects with a Fault, or with what the response's stream failed with. */
export async function sendResponse(
  exchange: Answering,
  response: Response,
): Promise<void> {
  const out = exchange.answer(response.status, response.statusText || reasonOf(response.status));
  for (const [name, value] of response.headers) {
    if (!FRAMING_FIELDS.has(name)) out.line(name, value);
  }
  const { status } = response;
  if (response.body === null) {
    return await exchange.send(leftOut(response, isBodyless(exchange.head.method, status)));
  }
  const reader = response.body.getReader();
  // A stream with nothing to say would otherwise never learn that nobody listens.
  alsoWhenGone(exchange, (fault) => void reader.cancel(fault).catch(() => {}));
  try {
    await exchange.send(await sourceOf(reader, response.headers.get("content-length")));
  } catch (error) {
    // Whoever fills the stream learns that nobody reads on; that it was over already is fine.
    await reader.cancel(error).catch(() => {});
    throw error;
  }
}

/** RFC 9110 section 8.6: HEAD and 304 may tell the length of the body they leave out. */
function leftOut({ headers }: Response, isLeftOut: boolean): BodySource | null {
  const length = isLeftOut ? parseLength(headers.get("content-length") ?? "") : undefined;
  return length === undefined ? null : { length, read: () => Promise.resolve(undefined) };
}

async function sourceOf(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  declared: string | null,
): Promise<BodySource> {
  const waiting: Promise<ReadableStreamReadResult<Uint8Array>>[] = [];
  let length = declared === null ? undefined : parseLength(declared);
  if (length === undefined) {
    // A body that was a string is here at once and ends right behind its only part.
    const first = reader.read();
    waiting.push(first);
    const part = await atOnce(first);
    if (part?.done === true) length = 0;
    if (part?.done === false) {
      const second = reader.read();
      waiting.push(second);
      if ((await atOnce(second))?.done === true) length = part.value.length;
    }
  }
  return {
    length,
    async read() {
      for (;;) {
        const part = await (waiting.shift() ?? reader.read());
        if (part.done) return undefined;
        if (part.value.length > 0) return part.value;
      }
    },
  };
}

/** What this read gave, if that took only a few microtasks, which no real wait does. */
async function atOnce<T>(reading: Promise<T>): Promise<T | undefined> {
  let result: T | undefined;
  // A failure comes up again where the part is used.
  reading.then((value) => result = value, () => {});
  for (let turn = 0; turn < 8 && result === undefined; turn++) await Promise.resolve();
  return result;
}
