/**
 * The `Deno.serve` behind HTTP/2, on the loopback. It ends when it cannot accept, for instance when no
 * descriptor is left. Nothing else may end because of that, so it is started again after a pause. After several
 * failures in a row it is reported as unavailable, and is tried again less often.
 */
import { backoffMs } from "../../base/backoff.ts";
import type { Clock } from "../../base/clock.ts";

/** Failures in a row after which it is reported as unavailable. */
const FAILURES_MAX = 3;
const PAUSE_FIRST_MS = 10;
const PAUSE_MAX_MS = 1_000;
/** The pause between two starts while it is unavailable, in milliseconds. */
const PAUSE_LONG_MS = 30_000;
/** After running for this long, an end counts as the first failure, in milliseconds. */
const STEADY_MS = 10_000;

/**
 * What the server needs from outside. `port` is that of the client's end of the connection on the loopback.
 */
export interface LoopbackServerParts {
  readonly clock: Clock;
  readonly handler: (request: Request, port: number) => Promise<Response>;
  /** Called with what the handler, or the stream of a response, has thrown: nothing else reports that. */
  readonly onError: (error: unknown) => void;
  /** Called when it has ended, and all its connections with it. */
  readonly onEnd: () => void;
  /** Called with the reason when it becomes unavailable, and with undefined when it works again. */
  readonly onChange: (unsupportedReason: string | undefined) => void;
}

/** One such server. It runs from its making until `close`. */
export class LoopbackServer {
  readonly #parts: LoopbackServerParts;
  #server: Deno.HttpServer<Deno.NetAddr> | undefined;
  #upSince = -Infinity;
  /** Failures in a row. */
  #failures = FAILURES_MAX - 1;
  #unsupportedReason: string | undefined;
  #closed = false;
  #cancel = () => {};

  /** Starts it. */
  constructor(parts: LoopbackServerParts) {
    this.#parts = parts;
    this.#start();
  }

  /** Where it listens on 127.0.0.1; undefined while it does not. */
  get port(): number | undefined {
    return this.#server?.addr.port;
  }

  /** Why it is unavailable; undefined if it is not. */
  get unsupportedReason(): string | undefined {
    return this.#unsupportedReason;
  }

  /** Shuts it down gracefully: resolves when its last request has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel();
    const server = this.#server;
    this.#server = undefined;
    try {
      await server?.shutdown();
    } catch {
      // It ended by itself in the meantime; the code that watches it reports that.
    }
  }

  #start(): void {
    const { handler, onError, onChange, clock } = this.#parts;
    let server: Deno.HttpServer<Deno.NetAddr>;
    try {
      server = Deno.serve({
        hostname: "127.0.0.1",
        port: 0,
        onListen: () => {},
        automaticCompression: false,
        // The default handler would print a stack trace.
        onError: (error) => {
          onError(error);
          return new Response(null, { status: 500 });
        },
      }, (request, { remoteAddr }) => handler(request, remoteAddr.port));
    } catch (error) {
      return this.#failed(error);
    }
    this.#server = server;
    if (this.#upSince === -Infinity) this.#failures = 0;
    this.#upSince = clock.now();
    server.finished.catch((error) => {
      if (this.#server !== server) return;
      this.#server = undefined;
      // Clients that are still connected would wait without end: their requests are not read any more.
      this.#parts.onEnd();
      this.#failed(error);
    });
    if (this.#unsupportedReason === undefined) return;
    this.#unsupportedReason = undefined;
    onChange(undefined);
  }

  #failed(error: unknown): void {
    if (this.#closed) return;
    const { clock, onChange } = this.#parts;
    const livedMs = this.#upSince === -Infinity ? 0 : clock.now() - this.#upSince;
    if (livedMs >= STEADY_MS && this.#unsupportedReason === undefined) this.#failures = 0;
    const isLasting = ++this.#failures >= FAILURES_MAX;
    if (isLasting && this.#unsupportedReason === undefined) {
      this.#unsupportedReason = error instanceof Error ? error.message : String(error);
      onChange(this.#unsupportedReason);
    }
    const pauseMs = isLasting
      ? PAUSE_LONG_MS
      : backoffMs(this.#failures, PAUSE_MAX_MS, PAUSE_FIRST_MS);
    this.#cancel = clock.after(pauseMs, () => this.#start());
  }
}
