/** A web server in this process, whose paths behave as their names say, and which remembers what it was asked. */
import { unusedPort } from "../../src/base/testing/ports.ts";
import { withTestDeadline } from "./test_deadline.ts";

/** The length of `/big`: more than all sockets on the way hold. */
export const BIG = 64 * 1_024 * 1_024;

/** Longer than tests wait for what must come before, also on a busy machine. */
const LONG_MS = 20_000;

/** What one request said. */
export interface Asked {
  readonly path: string;
  readonly headers: Headers;
  readonly body: string;
}

export class ScriptedWeb implements AsyncDisposable {
  readonly url: string;
  readonly asked: Asked[] = [];
  readonly #says: string;
  readonly #server: Deno.HttpServer;
  readonly #end = Promise.withResolvers<void>();
  #next = Promise.withResolvers<void>();

  constructor(says: string) {
    const port = unusedPort();
    this.#says = says;
    this.url = `http://127.0.0.1:${port}`;
    const place = { hostname: "127.0.0.1", port, onListen: () => {} };
    this.#server = Deno.serve(
      place,
      (request, { remoteAddr }) => this.#answer(request, remoteAddr),
    );
  }

  /** Forgets what it was asked. */
  forget(): void {
    this.asked.length = 0;
  }

  /** Resolves when it has been asked for this path that often. */
  async isAsked(path: string, times = 1): Promise<Asked> {
    const found = () => this.asked.filter((asked) => asked.path === path)[times - 1];
    const search = async () => {
      while (found() === undefined) await this.#next.promise;
      return found()!;
    };
    return await withTestDeadline(`${times} requests for ${path}`, search());
  }

  async #answer(request: Request, from: Deno.NetAddr): Promise<Response> {
    const path = new URL(request.url).pathname;
    const { headers } = request;
    const body = request.body === null ? "" : await request.text().catch(() => "");
    this.asked.push({ path, headers, body });
    this.#next.resolve();
    this.#next = Promise.withResolvers();
    if (path === "/503") return new Response("not now", { status: 503 });
    if (path === "/never") await this.#long();
    if (path === "/big") return new Response(new Uint8Array(BIG));
    if (path === "/drip") return new Response(this.#drip());
    const sent = Object.fromEntries(headers);
    return Response.json({ says: this.#says, port: from.port, sent });
  }

  /** Resolves after a long time, or when this server is to end. */
  async #long(): Promise<void> {
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, LONG_MS);
    await Promise.race([late.promise, this.#end.promise]);
    clearTimeout(timer);
  }

  /** Sends a little, and the rest a long time later. */
  #drip(): ReadableStream<Uint8Array> {
    let isOver = false;
    return new ReadableStream({
      start: (controller) => {
        controller.enqueue(new TextEncoder().encode("a little"));
        void this.#long().then(() => {
          if (isOver) return;
          controller.enqueue(new TextEncoder().encode("the rest"));
          controller.close();
        });
      },
      cancel: () => {
        isOver = true;
      },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.resolve();
    await this.#server.shutdown();
  }
}
