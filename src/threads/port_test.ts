import { assertEquals, assertMatch } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import type { Event } from "../events/events.ts";
import { Libc } from "../linux/libc.ts";
import { Port } from "./port.ts";

const ignore = Deno.build.os !== "linux";

function portAt(libc: Libc, port: number) {
  const clock = new ManualClock();
  const events: Event[] = [];
  const listeners: number[] = [];
  const settings = { address: { kind: "tcp", host: "127.0.0.1", port }, userTimeoutMs: 0 } as const;
  const made = new Port(settings, {
    libc,
    clock,
    publish: (event) => events.push(event),
    opened: (listener) => listeners.push(listener),
  });
  return { clock, events, listeners, port: made };
}

Deno.test({
  name: "a port that is taken is reported and tried again each second, until it is closed",
  ignore,
  async fn() {
    using libc = new Libc();
    const other = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { clock, events, listeners, port } = portAt(libc, other.addr.port);
    port.open();
    await clock.advance(1_000);
    assertEquals(events.map(({ type }) => type), ["port.failed", "port.failed"]);
    assertEquals(events[0], {
      type: "port.failed",
      address: `127.0.0.1:${other.addr.port}`,
      reason: "address in use",
      retryInMs: 1_000,
    });
    port.close(Promise.resolve());
    await clock.advance(3_000);
    assertEquals(events.length, 2);
    other.close();
    port.open();
    assertEquals([events.at(-1)!.type, listeners.length], ["port.opened", 1]);
    port.close(Promise.resolve());
  },
});

Deno.test({
  name: "a closed port refuses at once, while its descriptor stays until no thread uses it",
  ignore,
  async fn() {
    using libc = new Libc();
    const { port, events } = portAt(libc, 0);
    port.open();
    const { address } = port;
    assertEquals(address?.kind, "tcp");
    const at = { hostname: "127.0.0.1", port: address?.kind === "tcp" ? address.port : 0 };
    (await Deno.connect(at)).close();
    const forgotten = Promise.withResolvers<void>();
    port.close(forgotten.promise);
    const refused = await Deno.connect(at).catch((error: Error) => error.name);
    assertEquals(refused, "ConnectionRefused");
    // It may be opened again meanwhile, on the same port.
    const again = portAt(libc, at.port);
    again.port.open();
    assertMatch(again.events.at(-1)!.type, /opened/);
    (await Deno.connect(at)).close();
    again.port.close(Promise.resolve());
    forgotten.resolve();
    assertEquals(events.at(-1)!.type, "port.closed");
  },
});
