/**
 * The bridge to fetch-style apps, which map a `Request` to a `Response`: it makes the `Request` of an
 * exchange and sends the `Response` on it. It is for requests that we answer ourselves. Requests that are
 * forwarded never come here, because the web's objects would cost more than the forwarding does.
 */
import { STATUS_TEXT } from "@std/http/status";
import { Fault } from "../base/fault.ts";
import type { BodySource } from "./body.ts";
import type { Exchange } from "./exchange.ts";
import { isBodyless, parseLength } from "./framing.ts";

/** The reason phrase of a status; empty for a status that is not registered. */
export function reasonOf(status: number): string {
  return STATUS_TEXT[status] ?? "";
}

/** The part of an exchange from which a `Request` is made. */
type ReceivedRequest = Pick<Exchange, "head" | "gone" | "whenGone"> & {
  readonly body: BodySource & { readonly none: boolean };
};

/** The part of an exchange on which a `Response` is sent. */
type ResponseSide = Pick<
  Exchange,
  "head" | "answer" | "send" | "gone" | "whenGone" | "responseStarted"
>;

/**
 * Has a fetch-style app answer one exchange. A path that no `Request` can carry unchanged gets 404. Rejects
 * with a Fault of the client, or with what the app threw or its stream failed with.
 */
export async function serveFetch(
  exchange: ReceivedRequest & ResponseSide,
  app: (request: Request) => Response | Promise<Response>,
): Promise<void> {
  await sendResponse(exchange, await responseOf(exchange, app));
}

/** What `app` responds to the request of an exchange; 404 as in `serveFetch`. Rejects as the app does. */
export async function responseOf(
  exchange: ReceivedRequest,
  app: (request: Request) => Response | Promise<Response>,
): Promise<Response> {
  const request = requestOf(exchange);
  if (request === undefined) return new Response("Not found.\n", { status: 404 });
  return await app(request);
}

/** Methods that the Fetch standard (section 2.2.1) forbids in a `Request`, in any case. */
const NOT_CARRIED = /^(CONNECT|TRACE|TRACK)$/i;

/**
 * The request of an exchange, whose body is read from the connection as the app reads it, and whose signal
 * is aborted with a Fault when the client has gone. Undefined if the URL standard would change which path is
 * meant: it resolves dot segments and turns backslashes into slashes, and the app would then see a path that
 * the client did not send and that no check before it has seen. Throws the Fault `methodRefused` for a method
 * that a `Request` cannot have.
 */
function requestOf(exchange: ReceivedRequest): Request | undefined {
  const { head, body } = exchange;
  if (NOT_CARRIED.test(head.method)) throw new Fault("methodRefused");
  if (wouldChange(head.path)) return undefined;
  const path = head.path === "*" ? "/*" : head.path;
  const url = `http://${head.host || "localhost"}${path}`;
  const headers = new Headers();
  for (let i = 0; i < head.fields.count; i++) {
    headers.append(head.fields.name(i), head.fields.value(i));
  }
  const hasBody = !body.none && head.method !== "GET" && head.method !== "HEAD";
  const gone = new AbortController();
  alsoWhenGone(exchange, (fault) => gone.abort(fault));
  // Not every host that HTTP allows is one for the URL standard; the app finds it in the headers.
  return new Request(URL.canParse(url) ? url : `http://localhost${path}`, {
    method: head.method,
    headers,
    body: hasBody ? streamOf(body) : null,
    signal: gone.signal,
  });
}

/** True if the URL standard would resolve or rewrite segments of this path (section 4.4 of WHATWG URL). */
function wouldChange(path: string): boolean {
  const end = path.search(/[?#]/);
  return /\\|\/(\.|%2e){1,2}(\/|$)/i.test(end < 0 ? path : path.slice(0, end));
}

/** A body as a stream that reads nothing before it is asked to. */
function streamOf(body: BodySource): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    pull: async (controller) => {
      const view = await body.read();
      if (view === undefined) controller.close();
      // The view is valid until the next read; a chunk of a stream may be kept for longer.
      else controller.enqueue(view.slice());
    },
  }, { highWaterMark: 0 });
}

/** Calls `callback` when the client has gone, beside what is called then already. */
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

/** The exchange writes these itself; from an app they would contradict it. */
const FRAMING_FIELDS = new Set([
  "connection",
  "content-length",
  "date",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
]);

/** Sends a `Response`. Rejects with a Fault, or with what the response's stream failed with. */
export async function sendResponse(
  exchange: ResponseSide,
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
  // Without this, a stream that has nothing to send would never learn that its client has gone.
  alsoWhenGone(exchange, (fault) => void reader.cancel(fault).catch(() => {}));
  try {
    await exchange.send(await sourceOf(reader, response.headers.get("content-length")));
  } catch (error) {
    // The stream's producer learns that nobody reads on. A stream that has failed already rejects this.
    await reader.cancel(error).catch(() => {});
    throw error;
  }
}

/** RFC 9110 section 8.6: responses to HEAD and 304 may declare the length of the body they leave out. */
function leftOut({ headers }: Response, isLeftOut: boolean): BodySource | null {
  const length = isLeftOut ? parseLength(headers.get("content-length") ?? "") : undefined;
  return length === undefined ? null : { length, read: () => Promise.resolve(undefined) };
}

/**
 * The stream of a response as the body of a message. If the app declares no length, the stream gets one iteration
 * of the event loop: a body that is in memory has ended by then, because its reads wait for nothing but other
 * promises, and is sent with its length. All other streams are sent in chunks.
 */
async function sourceOf(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  declared: string | null,
): Promise<BodySource> {
  const reads: Promise<ReadableStreamReadResult<Uint8Array>>[] = [];
  let length = declared === null ? undefined : parseLength(declared);
  if (length === undefined) {
    const turn = new Promise<undefined>((resolve) => setImmediate(() => resolve(undefined)));
    let bytes = 0;
    // A body in memory is one part and its end; one more than these two reads shows that it is none.
    while (length === undefined && reads.length < 2) {
      const reading = reader.read();
      reads.push(reading);
      // What fails here fails again where the part is used.
      const part = await Promise.race([reading.catch(() => undefined), turn]);
      if (part === undefined) break;
      if (part.done) length = bytes;
      else bytes += part.value.length;
    }
  }
  const source = {
    length,
    received: 0,
    async read() {
      for (;;) {
        const part = await (reads.shift() ?? reader.read());
        if (part.done) return undefined;
        source.received += part.value.length;
        if (part.value.length > 0) return part.value;
      }
    },
  };
  return source;
}
