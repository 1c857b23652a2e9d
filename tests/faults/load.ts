/**
 * The counting client: sends numbered requests at a constant pace, each on a separate connection, keeps
 * sessions open, and afterwards compares its responses with what the upstreams received. It uses HTTP/1.1,
 * which a TCP proxy forwards unchanged, so that both modes are measured alike.
 */
import { connect } from "node:net";
import { differing, patternOf } from "./pattern.ts";

/** The result of one fault with one proxy. */
export interface Tally {
  readonly asked: number;
  /** Requests without an answer that no upstream received: the client was turned away. */
  readonly failed: number;
  /** Requests that an upstream received, and to which the client got no complete answer. */
  readonly lost: number;
  /** POSTs that upstreams received more than once. A GET may be repeated. */
  readonly doubled: number;
  /** Wrong bytes of bodies and answers. An answer to a request that no upstream received is wrong as a whole. */
  readonly wrongBytes: number;
  /** The longest time that a client waited for its answer, or until it was turned away. */
  readonly longestMs: number;
  /** Sessions that ended although their upstream had no fault. */
  readonly cut: number;
}

interface Asked {
  readonly number: number;
  answered: boolean;
  wrongBytes: number;
  tookMs: number;
}

interface Session {
  servedBy: string | undefined;
  ended: boolean;
  readonly leave: () => void;
}

const CLIENTS = 6;
const SESSIONS = 4;
/** The time from one request of a client to its next, unless the answer takes longer. */
const PACE_MS = 100;
/** How long a client waits unless told otherwise, in milliseconds. */
const TIMEOUT_MS = 8_000;

export class Load implements AsyncDisposable {
  readonly #port: number;
  readonly #patienceMs: number;
  readonly #asked: Asked[] = [];
  readonly #sessions: Session[] = [];
  #stopped = false;
  #clients: Promise<unknown> = Promise.resolve();

  /** `patienceMs`: how long a client waits for its answer, in milliseconds. */
  constructor(port: number, patienceMs = TIMEOUT_MS) {
    this.#port = port;
    this.#patienceMs = patienceMs;
  }

  /** Opens the sessions; resolves when each has received its first byte. */
  async begin(): Promise<void> {
    await Promise.all(Array.from({ length: SESSIONS }, () => this.#openSession()));
    this.#clients = Promise.all(Array.from({ length: CLIENTS }, (_, n) => this.#client(n)));
  }

  /** Sends no more requests; resolves when the running ones have ended. */
  async end(): Promise<void> {
    this.#stopped = true;
    await this.#clients;
  }

  /** `requestLogs` are those of the upstreams, `harmed` those whose sessions had to end. */
  tally(requestLogs: readonly string[], harmed: readonly string[]): Tally {
    const got = new Map<number, number>();
    let [doubled, wrongBytes] = [0, 0];
    for (const line of requestLogs) {
      const [method, number, wrong] = line.split(" ");
      const times = (got.get(Number(number)) ?? 0) + 1;
      got.set(Number(number), times);
      if (method === "POST" && times === 2) doubled++;
      wrongBytes += Number(wrong);
    }
    for (const { number, answered, wrongBytes: wrong } of this.#asked) {
      if (answered) wrongBytes += got.has(number) ? wrong : patternOf(number).length;
    }
    const silent = this.#asked.filter(({ answered }) => !answered);
    const cut = this.#sessions.filter(({ ended, servedBy }) =>
      ended && !harmed.includes(servedBy ?? "")
    );
    return {
      asked: this.#asked.length,
      failed: silent.filter(({ number }) => !got.has(number)).length,
      lost: silent.filter(({ number }) => got.has(number)).length,
      doubled,
      wrongBytes,
      longestMs: Math.max(0, ...this.#asked.map(({ tookMs }) => tookMs)),
      cut: cut.length,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
    for (const session of this.#sessions) session.leave();
  }

  async #client(client: number): Promise<void> {
    // At different moments, not all at once.
    await pause(PACE_MS * client / CLIENTS);
    for (let round = 0; !this.#stopped; round++) {
      const asked = {
        number: round * CLIENTS + client,
        answered: false,
        wrongBytes: 0,
        tookMs: 0,
      };
      this.#asked.push(asked);
      const startedAt = performance.now();
      await ask(this.#port, asked, this.#patienceMs);
      asked.tookMs = performance.now() - startedAt;
      await pause(Math.max(0, PACE_MS - asked.tookMs));
    }
  }

  async #openSession(): Promise<void> {
    const first = Promise.withResolvers<void>();
    const socket = connect({ host: "127.0.0.1", port: this.#port });
    const session: Session = { servedBy: undefined, ended: false, leave: () => socket.destroy() };
    this.#sessions.push(session);
    socket.on("error", () => {});
    socket.on("close", () => {
      session.ended = true;
      first.resolve();
    });
    let head = "";
    socket.on("data", (data: Uint8Array) => {
      if (session.servedBy !== undefined) return;
      head += new TextDecoder().decode(data);
      session.servedBy = /^x-served-by: (\S+)/im.exec(head)?.[1];
      if (session.servedBy !== undefined) first.resolve();
    });
    socket.write("GET /session HTTP/1.1\r\nHost: faults.test\r\n\r\n");
    await first.promise;
  }
}

/** Sends one request: a GET for an even number, a POST for an odd one. */
function ask(port: number, asked: Asked, patienceMs: number): Promise<void> {
  const { number } = asked;
  const body = number % 2 === 0 ? new Uint8Array(0) : patternOf(number);
  const head = `${number % 2 === 0 ? "GET" : "POST"} /n/${number} HTTP/1.1\r\n` +
    `Host: faults.test\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n`;
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    const timer = setTimeout(() => socket.destroy(), patienceMs);
    const parts: Uint8Array[] = [];
    socket.on("error", () => {});
    socket.on("data", (data: Uint8Array) => {
      parts.push(data);
      const wrong = judge(parts, number);
      if (wrong === undefined) return;
      asked.answered = true;
      asked.wrongBytes = wrong;
      socket.end();
    });
    socket.on("close", () => {
      clearTimeout(timer);
      resolve();
    });
    socket.write(head);
    socket.write(body);
  });
}

/** The number of wrong bytes of a complete answer with status 200; undefined if it is not one, or not yet. */
function judge(parts: readonly Uint8Array[], number: number): number | undefined {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) bytes.set(part, at), at += part.length;
  const text = new TextDecoder("latin1").decode(bytes);
  const end = text.indexOf("\r\n\r\n");
  if (end < 0 || !/^HTTP\/1\.[01] 200 /.test(text)) return undefined;
  const head = text.slice(0, end);
  const body = bytes.subarray(end + 4);
  const wanted = patternOf(number + 1);
  const length = /^content-length: (\d+)/im.exec(head)?.[1];
  if (length !== undefined) {
    return body.length < Number(length) ? undefined : differing(body, wanted);
  }
  // Chunked: the answer is short, and arrives as one chunk or a few.
  const plain = unchunked(body);
  return plain === undefined ? undefined : differing(plain, wanted);
}

/** The bytes in the chunks; undefined before the last one has arrived. */
function unchunked(body: Uint8Array): Uint8Array | undefined {
  const parts: number[] = [];
  for (let at = 0;;) {
    let end = at;
    while (end < body.length && body[end] !== 0x0a) end++;
    if (end === body.length) return undefined;
    const size = parseInt(new TextDecoder().decode(body.subarray(at, end)), 16);
    if (size === 0) return new Uint8Array(parts);
    if (body.length < end + 1 + size + 2) return undefined;
    parts.push(...body.subarray(end + 1, end + 1 + size));
    at = end + 1 + size + 2;
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
