/** The connection of a command to the control socket of a running proxy. */
import { type Clock, realClock, sleep } from "../base/clock.ts";
import { NEVER_ABORTED, withDeadline } from "../base/deadline.ts";
import { Fault } from "../base/fault.ts";
import { dial } from "../net/deno/dial.ts";

/** How long the proxy may take to answer a question, in milliseconds. */
const ANSWER_MS = 10_000;
/** How long it may take to carry an order out, in milliseconds: its triggers may have no limit. */
const ORDER_MS = 24 * 3_600_000;

/** No proxy can be reached; the message says why, for a person. */
export class NoProcess extends Error {
  override readonly name = "NoProcess";
}

/** An answer whose body is JSON. */
export interface ControlReply {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** The part of a connection that the commands use. */
export interface Connection extends Disposable {
  /** The control socket. */
  readonly path: string;
  /** `GET /__failover/PATH`. Rejects with `NoProcess` if the proxy is gone. */
  ask(path: string): Promise<ControlReply>;
  /** `POST /__failover/PATH`, and waits until the order has ended. */
  order(path: string): Promise<ControlReply>;
  /** The data of each event as it happens, until the proxy ends or `signal` is aborted. */
  events(signal: AbortSignal): AsyncGenerator<string>;
}

/** Connects to the first of these sockets that is there. Rejects with `NoProcess`. */
export async function connect(places: readonly string[], clock = realClock): Promise<Connection> {
  const reasons: string[] = [];
  for (const path of places) {
    const reason = await whyUnreachable(path, clock);
    if (reason === undefined) return new SocketConnection(path, clock);
    reasons.push(`${path}: ${reason}`);
  }
  throw new NoProcess(`no proxy can be reached (${reasons.join("; ")})`);
}

/** How long a command waits between two attempts to reach a proxy that has too many clients, in milliseconds. */
const BUSY_MS = 100;

async function whyUnreachable(path: string, clock: Clock): Promise<string | undefined> {
  const end = clock.now() + ANSWER_MS;
  for (;;) {
    const reason = await whyNotNow(path, clock);
    if (reason !== "busy") return reason;
    if (clock.now() >= end) return "its queue of clients is full";
    await sleep(clock, BUSY_MS);
  }
}

async function whyNotNow(path: string, clock: Clock): Promise<string | undefined> {
  const { signal } = new AbortController();
  const outcome = await dial({ kind: "unix", path }, { clock, timeoutMs: ANSWER_MS, signal });
  if (!(outcome instanceof Fault)) return void outcome?.close();
  const { cause } = outcome;
  if (cause instanceof Deno.errors.NotFound) return "there is no socket";
  if (cause instanceof Deno.errors.ConnectionRefused) return "no process listens there";
  // connect(2) to a unix socket whose accept queue is full.
  if (cause instanceof Deno.errors.WouldBlock) return "busy";
  if (cause instanceof Deno.errors.PermissionDenied) return "permission denied";
  return outcome.message;
}

class SocketConnection implements Connection {
  readonly #client: Deno.HttpClient;
  readonly #clock: Clock;

  constructor(readonly path: string, clock: Clock) {
    this.#client = Deno.createHttpClient({ proxy: { transport: "unix", path } });
    this.#clock = clock;
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  ask(path: string): Promise<ControlReply> {
    return this.#answer(path, {}, ANSWER_MS);
  }

  order(path: string): Promise<ControlReply> {
    return this.#answer(path, { method: "POST" }, ORDER_MS);
  }

  async *events(signal: AbortSignal): AsyncGenerator<string> {
    const headers = { accept: "text/event-stream" };
    let rest = "";
    try {
      const response = await this.#fetch("events", { headers, signal });
      if (!response.ok || response.body === null) {
        throw new NoProcess(`the proxy shows no events: ${await response.text()}`);
      }
      for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
        const lines = (rest + part).split("\n");
        rest = lines.pop()!;
        for (const line of lines) if (line.startsWith("data: ")) yield line.slice("data: ".length);
      }
    } catch (error) {
      if (signal.aborted) return;
      throw error instanceof NoProcess ? error : new NoProcess("the proxy is gone");
    }
  }

  async #answer(path: string, init: RequestInit, ms: number): Promise<ControlReply> {
    using deadline = withDeadline(NEVER_ABORTED, ms, this.#clock);
    try {
      const response = await this.#fetch(path, { ...init, signal: deadline.signal });
      return { status: response.status, body: await response.json() };
    } catch (error) {
      const reason = deadline.signal.aborted ? "the proxy does not answer" : "the proxy is gone";
      throw new NoProcess(reason, { cause: error });
    }
  }

  #fetch(path: string, init: RequestInit): Promise<Response> {
    return fetch(`http://localhost/__failover/${path}`, { ...init, client: this.#client });
  }
}
