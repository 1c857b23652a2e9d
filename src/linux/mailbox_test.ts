/** Messages for a loop, with a real eventfd and a real message port. */
import { assertEquals } from "@std/assert";
import { MessageChannel } from "node:worker_threads";
import { Libc } from "./libc.ts";
import { Loop } from "./loop.ts";
import { Mailbox } from "./mailbox.ts";
import { onLinux } from "./testing/on_linux.ts";

/** A loop with a mailbox, and its sender. */
class Fixture implements Disposable {
  readonly libc = new Libc();
  readonly loop = new Loop(this.libc);
  readonly eventfd = this.libc.eventfd();
  readonly #channel = new MessageChannel();
  readonly read: number[] = [];
  woken = 0;

  post(message: number): void {
    this.#channel.port1.postMessage(message);
    this.libc.wake(this.eventfd);
  }

  open(): void {
    new Mailbox<number>(this.libc, this.loop, this.eventfd, this.#channel.port2, {
      read: (message) => this.read.push(message),
      woken: () => this.woken++,
    });
  }

  [Symbol.dispose](): void {
    this.#channel.port1.close();
    this.#channel.port2.close();
    this.loop.forget(this.eventfd);
    this.libc.close(this.eventfd);
    this.libc[Symbol.dispose]();
  }
}

Deno.test("messages are received in order, in the tick that they wake", onLinux, () => {
  using fixture = new Fixture();
  fixture.open();
  fixture.loop.tick(0);
  assertEquals(fixture.read, []);
  const { woken } = fixture;
  for (const message of [1, 2, 3]) fixture.post(message);
  fixture.loop.tick(1_000);
  assertEquals([fixture.read, fixture.woken], [[1, 2, 3], woken + 1]);
});

Deno.test("messages that were posted before the mailbox was opened are received", onLinux, () => {
  using fixture = new Fixture();
  fixture.post(1);
  fixture.open();
  fixture.loop.tick(0);
  assertEquals(fixture.read, [1]);
});

Deno.test("many messages are spread over several ticks, and none is left", onLinux, () => {
  using fixture = new Fixture();
  fixture.open();
  fixture.loop.tick(0);
  const sent = Array.from({ length: 150 }, (_, index) => index);
  for (const message of sent) fixture.post(message);
  fixture.loop.tick(1_000);
  assertEquals(fixture.read.length < sent.length, true);
  while (fixture.loop.hasMore) fixture.loop.tick(0);
  assertEquals(fixture.read, sent);
});

Deno.test("waking without a message is passed on", onLinux, () => {
  using fixture = new Fixture();
  fixture.open();
  fixture.loop.tick(0);
  const { woken } = fixture;
  fixture.libc.wake(fixture.eventfd);
  fixture.loop.tick(1_000);
  assertEquals([fixture.read, fixture.woken], [[], woken + 1]);
});
