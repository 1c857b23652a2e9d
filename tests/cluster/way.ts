/** A way to one address that a test can cut: connections stay open, and nothing passes any more. */
import { acceptedBy } from "../harness/accepted.ts";

type Direction = "both" | "there" | "back";

/** Listens, on a free port unless one is given, and passes everything on to `target` (`host:port`). */
export class Way implements AsyncDisposable {
  readonly #listener: Deno.TcpListener;
  readonly #target: { readonly hostname: string; readonly port: number };
  readonly #conns = new Set<Deno.TcpConn>();
  readonly #work: Promise<void>;
  #cut: Direction | undefined;
  #trap: { readonly bytes: Uint8Array; readonly caught: PromiseWithResolvers<void> } | undefined;
  #healed = Promise.withResolvers<void>();

  constructor(target: string, at = { hostname: "127.0.0.1", port: 0 }) {
    this.#listener = Deno.listen(at);
    const [hostname, port] = target.split(":");
    this.#target = { hostname: hostname!, port: Number(port) };
    this.#healed.resolve();
    this.#work = this.#accept();
  }

  /** `host:port` at which it listens. */
  get address(): string {
    const { hostname, port } = this.#listener.addr;
    return `${hostname}:${port}`;
  }

  /** Nothing passes in this direction until `heal`. */
  cut(direction: Direction = "both"): void {
    // What waits already waits for the same end.
    if (this.#cut === undefined) this.#healed = Promise.withResolvers();
    this.#cut = direction;
  }

  /**
   * Cuts the way there as soon as a part that contains `text` would pass, and before it does; resolves then, or when the
   * way has healed.
   */
  async trap(text: string): Promise<void> {
    const caught = Promise.withResolvers<void>();
    this.#trap = { bytes: new TextEncoder().encode(text), caught };
    await caught.promise;
  }

  /** Everything passes again. What was under way is lost with its connections, as after a long partition. */
  heal(): void {
    this.#cut = undefined;
    this.#trap?.caught.resolve();
    this.#trap = undefined;
    this.#healed.resolve();
    for (const conn of this.#conns) close(conn);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    this.heal();
    await this.#work;
  }

  async #accept(): Promise<void> {
    const joins: Promise<void>[] = [];
    try {
      for await (const client of acceptedBy(this.#listener)) joins.push(this.#join(client));
    } catch {
      // A connection was reset before it was taken.
    }
    await Promise.all(joins);
  }

  async #join(client: Deno.TcpConn): Promise<void> {
    this.#conns.add(client);
    try {
      const server = await Deno.connect(this.#target);
      this.#conns.add(server);
      await Promise.all([this.#pump(client, server, "there"), this.#pump(server, client, "back")]);
      this.#conns.delete(server);
    } catch {
      close(client);
    }
    this.#conns.delete(client);
  }

  /** Cuts the way if this part is the one that the trap is for. */
  #spring(part: Uint8Array): void {
    if (this.#trap === undefined || !contains(part, this.#trap.bytes)) return;
    this.cut("there");
    this.#trap.caught.resolve();
    this.#trap = undefined;
  }

  async #pump(from: Deno.TcpConn, to: Deno.TcpConn, direction: Direction): Promise<void> {
    const buffer = new Uint8Array(16_384);
    try {
      for (;;) {
        const count = await from.read(buffer);
        if (direction === "there") this.#spring(buffer.subarray(0, count ?? 0));
        while (this.#cut === "both" || this.#cut === direction) await this.#healed.promise;
        if (count === null) break;
        for (let at = 0; at < count;) at += await to.write(buffer.subarray(at, count));
      }
    } catch {
      // One of the two has ended.
    }
    close(from);
    close(to);
  }
}

function contains(part: Uint8Array, text: Uint8Array): boolean {
  for (let at = part.indexOf(text[0]!); at >= 0; at = part.indexOf(text[0]!, at + 1)) {
    if (text.every((byte, index) => part[at + index] === byte)) return true;
  }
  return false;
}

function close(conn: Deno.TcpConn): void {
  try {
    conn.close();
  } catch {
    // It is closed already.
  }
}
