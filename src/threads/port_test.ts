import { assert, assertEquals, assertMatch } from "@std/assert";
import { unusedPort } from "../base/testing/ports.ts";
import { ManualClock } from "../base/clock.ts";
import type { Event } from "../events/events.ts";
import { Libc } from "../linux/libc.ts";
import { endpointOf, ipSockaddr } from "../linux/sockaddr.ts";
import type { PassedListener, ReceivedPort } from "../net/handover.ts";
import { untilRefused } from "../net/testing/refused.ts";
import { Port } from "./port.ts";

const ignore = Deno.build.os !== "linux";

/** `received`: the socket that another process has left. */
function portAt(libc: Libc, port: number, received?: ReceivedPort) {
  const clock = new ManualClock();
  const events: Event[] = [];
  const listeners: number[] = [];
  const settings = { address: { kind: "tcp", host: "127.0.0.1", port }, userTimeoutMs: 0 } as const;
  const made = new Port(settings, {
    libc,
    clock,
    publish: (event) => events.push(event),
    received,
    opened: (listener) => listeners.push(listener),
  });
  return { clock, events, listeners, port: made };
}

Deno.test({
  name: "a port that is taken is reported and tried again each second, until it is closed",
  ignore,
  async fn() {
    using libc = new Libc();
    const other = Deno.listen({ hostname: "127.0.0.1", port: unusedPort() });
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
    await untilRefused(other.addr.port);
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

/** A socket that listens on a free port of its own, as another process would leave it. */
function leftSocket(libc: Libc, isLent: boolean) {
  const listener = libc.listen(ipSockaddr("127.0.0.1", 0)!, { backlog: 8, userTimeoutMs: 0 });
  const at = endpointOf(libc.localAddress(listener));
  if (at.kind !== "ip") throw new Error("no address");
  const back: PassedListener[] = [];
  let left: PassedListener | undefined = {
    owner: { is: "service", name: "a" },
    address: `127.0.0.1:${at.port}`,
    descriptor: listener,
    isLent,
  };
  const received = {
    take() {
      const taken = left;
      left = undefined;
      return taken;
    },
    giveBack: (listener: PassedListener) => void back.push(listener),
  };
  return { listener, port: at.port, received, back };
}

Deno.test({
  name: "a port accepts on the socket that was left to it, and leaves it open for another process",
  ignore,
  async fn() {
    using libc = new Libc();
    const left = leftSocket(libc, false);
    const hostname = "127.0.0.1";
    const client = await Deno.connect({ hostname, port: left.port });
    const { port, listeners, events } = portAt(libc, left.port, left.received);
    port.open();
    assertEquals(listeners, [left.listener]);
    assertEquals(events.map(({ type }) => type), ["port.opened"]);
    assertEquals(port.passed, { descriptor: left.listener, isLent: false });
    const accepted = libc.accept(left.listener);
    assert(accepted >= 0, "the client of the queue is gone");
    const forgotten = Promise.resolve();
    port.close(forgotten, "left");
    await forgotten;
    assertEquals([port.passed, port.address], [undefined, undefined]);
    libc.close(accepted);
    client.close();
  },
});

Deno.test({
  name:
    "a lent socket is never shut down: its clients wait while the port refuses, and it goes back",
  ignore,
  async fn() {
    using libc = new Libc();
    const left = leftSocket(libc, true);
    const { port, listeners } = portAt(libc, left.port, left.received);
    port.open();
    const forgotten = Promise.resolve();
    port.refuse(forgotten);
    const client = await Deno.connect({ hostname: "127.0.0.1", port: left.port });
    port.open();
    assertEquals(listeners, [left.listener, left.listener]);
    const accepted = libc.accept(left.listener);
    assert(accepted >= 0);
    port.close(forgotten);
    await forgotten;
    assertEquals(left.back.map(({ descriptor }) => descriptor), [left.listener]);
    const later = await Deno.connect({ hostname: "127.0.0.1", port: left.port });
    for (const fd of [accepted, left.listener]) libc.close(fd);
    client.close();
    later.close();
  },
});

Deno.test({
  name: "a socket that listens elsewhere is not used, with a warning, and another one is opened",
  ignore,
  async fn() {
    using libc = new Libc();
    for (const isLent of [false, true]) {
      const other = libc.listen(ipSockaddr("127.0.0.2", 0)!, { backlog: 8, userTimeoutMs: 0 });
      const wrong: PassedListener = {
        owner: { is: "service", name: "a" },
        address: "127.0.0.1:0",
        descriptor: other,
        isLent,
      };
      const back: PassedListener[] = [];
      const next = portAt(libc, 0, { take: () => wrong, giveBack: (one) => void back.push(one) });
      next.port.open();
      const warned = next.events.find(({ type }) => type === "config.warned");
      assert(warned?.type === "config.warned");
      assertMatch(
        warned.warning,
        /^the socket that was handed over for 127\.0\.0\.1:0 listens on 127\.0\.0\.2:\d+: not used$/,
      );
      assertEquals(next.listeners.length, 1);
      const { address } = next.port;
      assert(address?.kind === "tcp" && address.host === "127.0.0.1");
      assertEquals(back.length, isLent ? 1 : 0);
      const forgotten = Promise.resolve();
      next.port.close(forgotten);
      await forgotten;
      if (isLent) libc.close(other);
    }
  },
});
