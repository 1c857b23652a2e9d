/** Reads bodies of responses that may be of any length, or never end, from a peer that may be broken. */
import { oneLine } from "../base/one_line.ts";
import { EtcdError } from "./etcd.ts";

/** The longest answer, in bytes: far more than all keys of one service. */
const BODY_MAX = 4 << 20;
/** How much of an answer that is not JSON is told, in characters. */
const SAID_MAX = 160;
/** The longest line of a watch, in bytes; etcd splits larger ones. */
const LINE_MAX = 2 << 20;

/** The first JSON value of a body: the whole of it, or the first line of a stream. */
export async function boundedJson(response: Response, signal: AbortSignal): Promise<unknown> {
  const text = await boundedText(response, signal);
  try {
    return JSON.parse(text.split("\n", 1)[0]!.trim() === "" ? text : firstValue(text));
  } catch {
    const said = oneLine(text).trim().slice(0, SAID_MAX);
    const what = `the answer is not JSON (status ${response.status})`;
    throw new EtcdError("unreachable", said === "" ? what : `${what}: ${said}`);
  }
}

/** Two answers of a stream stand on two lines; another answer may be spread over many. */
function firstValue(text: string): string {
  const [first = "", ...rest] = text.trimEnd().split("\n");
  return rest.length > 0 && rest.every((line) => line.startsWith("{")) ? first : text;
}

async function boundedText(response: Response, signal: AbortSignal): Promise<string> {
  let text = "";
  for await (const part of decoded(response, signal)) {
    text += part;
    if (text.length > BODY_MAX) throw new EtcdError("unreachable", "the answer is too long");
  }
  return text;
}

/** The lines of a stream, without empty ones. The stream is closed when the loop ends. */
export async function* boundedLines(
  response: Response,
  signal: AbortSignal,
): AsyncGenerator<string> {
  let rest = "";
  for await (const part of decoded(response, signal)) {
    const lines = (rest + part).split("\n");
    rest = lines.pop()!;
    yield* lines.filter((line) => line.trim() !== "");
    if (rest.length > LINE_MAX) throw new EtcdError("unreachable", "a line is too long");
  }
}

async function* decoded(response: Response, signal: AbortSignal): AsyncGenerator<string> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (reader === undefined) return;
  const cancel = () => void reader.cancel().catch(() => {});
  signal.addEventListener("abort", cancel, { once: true });
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (signal.aborted) throw new EtcdError("unreachable", "no answer in time");
      if (done) return;
      yield value;
    }
  } finally {
    signal.removeEventListener("abort", cancel);
    cancel();
  }
}
