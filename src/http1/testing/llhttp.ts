/**
 * llhttp, Node's parser, as an oracle: an independent parser that reads the same bytes. It is taken from inside
 * `node:http`, so that it reads synchronously, without a socket.
 */
import * as common from "node:_http_common";

/** One message as llhttp read it. */
export interface ReadMessage {
  readonly method: string;
  /** The request target, or the reason phrase. */
  readonly target: string;
  readonly status: number;
  /** Names and values alternate, as they were received. */
  readonly fields: readonly string[];
  body: string;
  /** True once its end was seen. */
  whole: boolean;
}

/** The result of llhttp: the messages in the bytes, and why it stopped before their end. */
export interface Reading {
  readonly messages: readonly ReadMessage[];
  /** llhttp's code, such as `HPE_INVALID_METHOD`. */
  readonly error: string | undefined;
}

interface Parser {
  initialize(type: number, resource: object, headerBytesMax?: number, lenient?: number): void;
  execute(bytes: Uint8Array): number | Error;
  [callback: number]: (...args: never[]) => number | void;
}

/** Not in the types of `node:_http_common`. */
const { HTTPParser, methods } = common as unknown as {
  readonly HTTPParser: Readonly<Record<string, number>> & { new (): Parser };
  readonly methods: readonly string[];
};

/** The methods that llhttp knows; it refuses all others. */
export const LLHTTP_METHODS: ReadonlySet<string> = new Set(methods);

/**
 * Reads requests, or responses to GET, with none of llhttp's leniencies; `takesLf` is the one for lines
 * that end in LF alone.
 */
export function readByLlhttp(
  kind: "REQUEST" | "RESPONSE",
  bytes: Uint8Array,
  takesLf = false,
): Reading {
  const parser = new HTTPParser();
  const messages: ReadMessage[] = [];
  let fields: string[] = [];
  let url = "";
  const lenient = takesLf ? HTTPParser.kLenientOptionalCRBeforeLF : HTTPParser.kLenientNone;
  parser.initialize(HTTPParser[kind]!, {}, 65_536, lenient);
  // If there are many fields, some are reported before the end of the head.
  parser[HTTPParser.kOnHeaders!] = (more: string[], target: string) => {
    fields.push(...more);
    url += target;
  };
  parser[HTTPParser.kOnHeadersComplete!] = (
    _major: number,
    _minor: number,
    rest: string[] | undefined,
    method: number,
    target: string | undefined,
    status: number,
    reason: string,
  ) => {
    messages.push({
      method: methods[method] ?? "",
      target: kind === "REQUEST" ? url + (target ?? "") : reason,
      status: status ?? 0,
      fields: [...fields, ...rest ?? []],
      body: "",
      whole: false,
    });
    fields = [];
    url = "";
    return 0;
  };
  parser[HTTPParser.kOnBody!] = (part: Uint8Array, offset = 0, length = part.length) => {
    for (const byte of part.subarray(offset, offset + length)) {
      messages.at(-1)!.body += String.fromCharCode(byte);
    }
  };
  parser[HTTPParser.kOnMessageComplete!] = () => {
    messages.at(-1)!.whole = true;
    // Drops the trailers, which are reported in the same way.
    fields = [];
  };
  const result = parser.execute(bytes);
  const error = result instanceof Error ? String((result as { code?: unknown }).code) : undefined;
  return { messages, error };
}
