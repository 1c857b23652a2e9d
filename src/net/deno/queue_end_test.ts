/** The end of a listener, with a real accept queue. */
import { assert, assertEquals } from "@std/assert";
import { type Clock, realClock } from "../../base/clock.ts";
import { QueueEnd } from "./queue_end.ts";

/** The real time, except for the maximum of an end, which a machine under load may reach. */
const clock: Clock = {
  ...realClock,
  after: (ms, run) => ms < 100 ? realClock.after(ms, run) : () => {},
};

/** A listener whose clients are accepted when the test says so. */
class Fixture implements Disposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #opened: Deno.Conn[] = [];
  readonly served: number[] = [];
  onServed = () => {};
  isClosed = false;
  readonly queue = new QueueEnd(clock, this.#listener.addr, () => {
    if (!this.isClosed) this.#listener.close();
    this.isClosed = true;
  });

  /** Resolves with the port of a client whose connection is in the accept queue. */
  async client(): Promise<number> {
    const { port } = this.#listener.addr as Deno.NetAddr;
    const conn = await Deno.connect({ hostname: "127.0.0.1", port });
    this.#opened.push(conn);
    return (conn.localAddr as Deno.NetAddr).port;
  }

  /** Accepts until the listener is closed. */
  async acceptAll(): Promise<void> {
    for (;;) {
      const conn = await this.#listener.accept().catch(() => undefined);
      if (conn === undefined) return;
      const { port } = conn.remoteAddr as Deno.NetAddr;
      this.queue.admit(conn, () => {
        this.served.push(port);
        this.#opened.push(conn);
        this.onServed();
      });
    }
  }

  [Symbol.dispose](): void {
    for (const conn of this.#opened) conn.close();
    if (!this.isClosed) this.#listener.close();
  }
}

Deno.test("clients that wait in the queue are served before the listener is closed", async () => {
  using fixture = new Fixture();
  const waiting = [await fixture.client(), await fixture.client(), await fixture.client()];
  fixture.queue.begin(false);
  await fixture.queue.begun;
  await fixture.acceptAll();
  await fixture.queue.over();
  // Our own connections, by which the end of the queue is found, are served by nobody.
  assertEquals(fixture.served.toSorted(), waiting.toSorted());
  assert(fixture.isClosed);
});

Deno.test("a client that comes before the end begins is served at once", async () => {
  using fixture = new Fixture();
  const accepting = fixture.acceptAll();
  const { promise, resolve } = Promise.withResolvers<void>();
  fixture.onServed = resolve;
  const port = await fixture.client();
  await promise;
  assertEquals([fixture.served, fixture.isClosed], [[port], false]);
  fixture.queue.begin(true);
  await Promise.all([accepting, fixture.queue.over()]);
});

Deno.test("an end at once closes the listener at once, also while its queue is being emptied", async () => {
  using fixture = new Fixture();
  await fixture.client();
  fixture.queue.begin(false);
  fixture.queue.begin(true);
  assert(fixture.isClosed);
  await fixture.queue.over();
  assertEquals(fixture.served, []);
});
