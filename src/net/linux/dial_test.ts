/** Connecting with sockets of the kernel, to real listeners. */
import { assertEquals } from "@std/assert";
import { realClock } from "../../base/clock.ts";
import { unusedPort } from "../../base/testing/ports.ts";
import { Libc } from "../../linux/libc.ts";
import { Loop } from "../../linux/loop.ts";
import { Resolver } from "../resolve.ts";
import { linuxDialer } from "./dial.ts";
import { EmbeddedLoop } from "./embedded_loop.ts";
import { rejectedWith } from "../../base/testing/faults.ts";
import { onLinux } from "../../linux/testing/on_linux.ts";

/** The loop in which connections are made. */
class Fixture implements AsyncDisposable {
  readonly #libc = new Libc();
  readonly #host = new EmbeddedLoop(new Loop(this.#libc), this.#libc, realClock);

  dialer(hostname: string, port: number, ips: readonly string[] = []) {
    const resolver = new Resolver(realClock, () => Promise.resolve(ips));
    return linuxDialer(this.#host, {
      hostname,
      port,
      clock: realClock,
      connectMs: 60_000,
      resolver,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#host.stop();
    this.#libc[Symbol.dispose]();
  }
}

Deno.test("a connection carries bytes, and says once when connecting begins", onLinux, async () => {
  await using fixture = new Fixture();
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepting = listener.accept();
  let begun = 0;
  const conn = await fixture.dialer("127.0.0.1", listener.addr.port)(undefined, () => begun++);
  using accepted = await accepting;
  await conn.write(new TextEncoder().encode("hello"));
  const buffer = new Uint8Array(5);
  await accepted.read(buffer);
  assertEquals([new TextDecoder().decode(buffer), begun], ["hello", 1]);
  conn.close();
});

Deno.test("the next address of a name is tried when one refuses", onLinux, async () => {
  await using fixture = new Fixture();
  using listener = Deno.listen({ hostname: "127.0.0.1", port: unusedPort() });
  const accepting = listener.accept();
  // Nobody listens at the same port of the other address.
  const dial = fixture.dialer("db.example", listener.addr.port, ["127.0.0.2", "127.0.0.1"]);
  const conn = await dial();
  (await accepting).close();
  conn.close();
});

Deno.test("a refusal, an unknown name and a signal are faults", onLinux, async () => {
  await using fixture = new Fixture();
  const port = unusedPort();
  assertEquals(await rejectedWith(fixture.dialer("127.0.0.1", port)()), "connectRefused");
  assertEquals(await rejectedWith(fixture.dialer("db.example", port, [])()), "nameUnknown");
  assertEquals(
    await rejectedWith(fixture.dialer("127.0.0.1", port)(AbortSignal.abort())),
    "connectFailed",
  );
});
