/** Clients that send one request after another until they are refused, and count requests without an answer. */
import { connectTo } from "./client.ts";
import { WebConnection } from "./web_client.ts";

/** How long a proxy that stops waits for a request on a kept connection, in milliseconds. */
const LAST_CALL_MS = 250;

export interface Steadiness {
  /** Closes after each answer and connects again. */
  readonly fresh: boolean;
  /** The longest pause between an answer and the next request, in milliseconds. */
  readonly pauseMs: number;
  /** Opens a connection; a plain one by default. A refusal is thrown as `ConnectionRefused`. */
  readonly open?: () => Promise<WebConnection>;
  /**
   * The listener is one of Deno's, whose queue nobody can look into: on a busy machine it may be closed while a client
   * is in it, which resets a connection that was never accepted. `queue_end_test.ts` tells what is done about it.
   */
  readonly isQueueHidden?: boolean;
  /** How long a kept connection stays open without a request, in milliseconds; by default that of a proxy that stops. */
  readonly keptMs?: number;
}

export class SteadyCount {
  answered = 0;
  /** Requests on an open connection without a complete answer, with the outcome of each. */
  readonly lost: string[] = [];
  /** Connections that ended before their client knew that they were open, had sent anything, or had sent in time. */
  reset = 0;
  readonly #waiting: { readonly answers: number; readonly go: () => void }[] = [];

  /** Resolves when this many requests were answered. */
  reaches(answers: number): Promise<void> {
    return new Promise((go) => this.#waiting.push({ answers, go }));
  }

  add(): void {
    this.answered++;
    for (const { answers, go } of this.#waiting) if (this.answered >= answers) go();
  }
}

/** Runs `clients` of them against `address` until each was refused. */
export async function askSteadily(
  address: string,
  clients: number,
  steadiness: Steadiness,
  count: SteadyCount,
): Promise<void> {
  const open = steadiness.open ??
    (async () => new WebConnection(await connectTo(address)));
  await Promise.all(Array.from({ length: clients }, () => askOn(open, steadiness, count)));
}

async function askOn(
  open: () => Promise<WebConnection>,
  { fresh, pauseMs, isQueueHidden = false, keptMs = LAST_CALL_MS }: Steadiness,
  count: SteadyCount,
): Promise<void> {
  for (;;) {
    let connection: WebConnection;
    try {
      connection = await open();
    } catch (error) {
      if (error instanceof Deno.errors.ConnectionRefused) return;
      if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
      count.reset++;
      continue;
    }
    // The connection was kept at the earliest when the request before was sent, whenever its answer was read.
    let keptSince = performance.now();
    let sentBy = keptSince;
    let answers = 0;
    try {
      for (let isKept = true; isKept;) {
        // Awaited before the request is sent, so that an earlier end is seen, and does not count as a loss.
        const reply = connection.reply().catch((error: Error) => error);
        if (pauseMs > 0 && await isOver(reply, Math.random() * pauseMs)) break;
        const sentAt = performance.now();
        await connection.send({ target: "/", lines: fresh ? ["Connection: close"] : [] })
          .finally(() => sentBy = performance.now());
        const answer = await reply;
        if (answer instanceof Error) throw answer;
        if (answer.status !== 200) throw new Error(`status ${answer.status}`);
        count.add();
        answers++;
        keptSince = sentAt;
        isKept = answer.headers.get("connection") !== "close";
      }
    } catch (error) {
      // The connection had ended before anything was sent, and this process was too busy to see it; or it was
      // too busy to ask while a proxy that stops waits for requests.
      const isLate = sentBy - keptSince > keptMs;
      const isUnaccepted = isQueueHidden && answers === 0 &&
        error instanceof Deno.errors.ConnectionReset;
      if (error instanceof Deno.errors.BrokenPipe || isLate || isUnaccepted) count.reset++;
      else count.lost.push(`${(error as Error).message}, after ${answers} answers`);
    } finally {
      connection.close();
    }
  }
}

/** Waits for `ms`, or until the connection has ended. */
function isOver(reply: Promise<unknown>, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), ms);
    void reply.then(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}
