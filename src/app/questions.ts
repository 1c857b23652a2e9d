/** The questions of a thread to the main thread. Their number is limited, and each has a deadline. */
import { settlesWithin } from "../base/deadline.ts";
import type { Clock } from "../base/clock.ts";
import type { LinesOutcome } from "../base/lines_outcome.ts";
import type { FromHttpShard, HttpShardAnswer, HttpShardQuestion } from "./http_messages.ts";
import { RETRY_AFTER_S } from "../gateway/answers.ts";

/** Requests for the admin endpoints that may wait for the main thread at one time, of one service and thread. */
const REQUESTS_MAX = 64;
/** How long one of them waits, in milliseconds. */
const REQUEST_MS = 10_000;

/** The questions of one shard. */
export class Questions {
  readonly #clock: Clock;
  readonly #send: (question: FromHttpShard) => void;
  readonly #waiting = new Map<number, (answer: HttpShardAnswer | undefined) => void>();
  #requests = 0;
  #id = 0;

  constructor(clock: Clock, send: (question: FromHttpShard) => void) {
    this.#clock = clock;
    this.#send = send;
  }

  /** The addresses of a name; none if it has none. Stays pending while the name service is silent. */
  async addresses(host: string): Promise<readonly string[]> {
    const answer = await this.#ask({ about: "name", host });
    return answer?.about === "name" ? answer.ips : [];
  }

  /** The response of the admin endpoints; 503 if the main thread does not give one in time. */
  async response({ method, url, headers }: Request): Promise<Response> {
    if (this.#requests >= REQUESTS_MAX) return unavailable("too many requests wait for an answer");
    this.#requests++;
    const asked = this.#ask({ about: "request", method, url, headers: [...headers] });
    const answer = await settlesWithin(asked, REQUEST_MS, this.#clock) ? await asked : undefined;
    this.#requests--;
    if (answer?.about !== "request") return unavailable("the main thread does not answer");
    const { status, body } = answer;
    return new Response(body, { status, headers: answer.headers.map(([...pair]) => pair) });
  }

  /** Sends whole lines for the access log at this path. Resolves with how many of them could not be written. */
  async written(path: string, lines: Uint8Array<ArrayBuffer>): Promise<LinesOutcome> {
    const answer = await this.#ask({ about: "lines", path, lines });
    return answer?.about === "lines" ? answer : { lost: 0, reason: "" };
  }

  /** Offers a connection to another process. True if that goes on with it. */
  async passed(descriptor: number, peer: string): Promise<boolean> {
    const answer = await this.#ask({ about: "passing", descriptor, peer });
    return answer?.about === "passing" && answer.isTaken;
  }

  /**
   * The main thread has answered question `id`; undefined if it cannot. An answer that is too late is ignored.
   */
  answered(id: number, answer: HttpShardAnswer | undefined): void {
    this.#waiting.get(id)?.(answer);
    this.#waiting.delete(id);
  }

  /** No further answer can come. */
  end(): void {
    for (const id of [...this.#waiting.keys()]) this.answered(id, undefined);
  }

  #ask(question: HttpShardQuestion): Promise<HttpShardAnswer | undefined> {
    return new Promise((resolve) => {
      const id = ++this.#id;
      this.#waiting.set(id, resolve);
      this.#send({ id, question });
    });
  }
}

function unavailable(reason: string): Response {
  return Response.json({ error: reason }, {
    status: 503,
    headers: { "retry-after": String(RETRY_AFTER_S) },
  });
}
