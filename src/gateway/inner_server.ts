/**
 * The `Deno.serve` behind HTTP/2, on the loopback. It ends when it cannot accept, as for want of a descriptor;
 * nothing else may end with it, so it is started again after a pause. Where that comes to nothing several
 * times in a row it is taken for something that cannot be had, and tried again limiter.
 */
import { backoffMs } from "../base/backoff.ts";
import type { Clock } from "../base/clock.ts";

/** Failures in a row after which it is said that it cannot be had. */
const FAILURES_MAX = 3;
const PAUSE_FIRST_MS = 10;
const PAUSE_MAX_MS = 1_000;
/** The pause once it is known that it cannot be had. */
const PAUSE_LONG_MS = 30_000;
/** A server that lived for so long has not failed in a row. */
const STEADY_MS = 10_000;

export interface InnerServerParts {
  readonly clock: Clock;
  readonly handler: (request: Request, port: number) => Promise<Response>;
  /** Told what was thrown where nobody else hears of it: in the handler, and in the stream of a response. */
  readonly onError: (error: unknown) => void;
  /** Its connections have ended with it. */
  readonly onEnd: () => void;
  /** Told why it cannot be had, and with undefined when it can again. */
  readonly onChange: (unsupportedReason: string | undefined) => void;
}

export class InnerServer {
  readonly #parts: InnerServerParts;
  #server: Deno.HttpServer<Deno.NetAddr> | undefined;
  #upSince = -Infinity;
  /** In a row; one that never began at all will not begin a moment later. */
  #failures = FAILURES_MAX - 1;
  #unsupportedReason: string | undefined;
  #closed = false;
  #cancel = () => {};

  /** Starts it. */
  constructor(parts: InnerServerParts) {
    this.#parts = parts;
    this.#start();
  }

  /** Where it listens on 127.0.0.1; undefined while it does not. */
  get port(): number | undefined {
    return this.#server?.addr.port;
  }

  /** Why it cannot be had, if that is known. */
  get unsupportedReason(): string | undefined {
    return this.#unsupportedReason;
  }

  /** Ends it in order: resolves when its last request has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel();
    const server = this.#server;
    this.#server = undefined;
    try {
      await server?.shutdown();
    } catch {
      // It ended by itself meanwhile, which is told where it is watched.
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
        // Its own would print a stack trace.
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
      // Whoever is still on it would wait for ever: nobody takes its requests any more.
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
