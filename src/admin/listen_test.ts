import { assert, assertEquals, assertMatch } from "@std/assert";
import { Hono } from "hono";
import type { Address } from "../base/address.ts";
import { type Clock, ManualClock, realClock } from "../base/clock.ts";
import type { Event } from "../events/events.ts";
import { adminApp } from "./admin.ts";
import { ADMIN_CONNECTIONS_MAX, type AdminListener, listenAdmin } from "./listen.ts";
import { PASSED, REFUSED } from "../failover/testing/results.ts";
import { adminSettings, TestService } from "./testing/service.ts";

const LOCAL: Address = { kind: "tcp", host: "127.0.0.1", port: 0 };

function started(listener: AdminListener | string): AdminListener {
  assert(typeof listener !== "string", `cannot listen: ${listener}`);
  return listener;
}

/** The admin listener of a service on a port, and a way to send it requests. */
async function serve(service: TestService, clock: Clock = realClock) {
  const stop = new AbortController();
  const events: Event[] = [];
  const app = adminApp(adminSettings([service], { stop: stop.signal }), "operator", "all");
  const publish = (event: Event) => events.push(event);
  const listener = started(await listenAdmin(LOCAL, app, { clock, publish }));
  assert(listener.address.kind === "tcp");
  const origin = `http://127.0.0.1:${listener.address.port}/__failover`;
  return {
    ask: (path: string, init?: RequestInit) => fetch(`${origin}/${path}`, init),
    stop,
    events,
    listener,
    port: listener.address.port,
  };
}

Deno.test("the operator's listener serves health, state, metrics, events and orders over HTTP", async () => {
  await using service = new TestService();
  await service.start(REFUSED, PASSED);
  await service.answer("a", PASSED, 2);
  const { ask, listener, events, port } = await serve(service);
  await using _ = listener;
  assertEquals(await (await ask("health")).text(), "OK");
  assertEquals((await (await ask("state")).json()).on_backup, true);
  assertMatch(await (await ask("metrics")).text(), /failover_serving\{service=""\} 1\n/);
  assertEquals((await (await ask("events")).json()).events.length > 0, true);
  const order = await ask("failback", { method: "POST" });
  assertEquals([order.status, (await order.json()).epoch], [202, 2]);
  assertEquals(events, [{ type: "port.opened", address: `127.0.0.1:${port}` }]);
});

Deno.test("a live feed works over HTTP and ends with the process, after the last events", async () => {
  await using service = new TestService();
  const { ask, stop, listener } = await serve(service);
  const response = await ask("events", { headers: { accept: "text/event-stream" } });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  assertEquals((await reader.read()).value, "retry: 2000\n\n");
  service.events.publish("", {
    type: "proxy.stopping",
    reason: "SIGTERM",
    sessions: 0,
    drainMs: 0,
  });
  assertMatch((await reader.read()).value!, /event: proxy.stopping\n/);
  stop.abort();
  assertEquals((await reader.read()).done, true);
  await listener[Symbol.asyncDispose]();
  assertEquals(service.clock.pending, 0);
});

Deno.test("a reader that leaves makes room for another reader of the feed", async () => {
  await using service = new TestService();
  const clock = new ManualClock();
  const { ask, listener } = await serve(service, clock);
  await using _ = listener;
  const abort = new AbortController();
  const headers = { accept: "text/event-stream" };
  const response = await ask("events", { headers, signal: abort.signal });
  assertEquals(service.clock.pending, 1, "the heartbeat of one feed");
  const body = response.text().catch(() => {}); // rejects when the test aborts it
  abort.abort();
  await body;
  // The server sees the end of the connection, and then gives a client that half-closed some time.
  while (service.clock.pending > 0) {
    await (await ask("health")).text();
    await clock.advance(1_000);
  }
});

Deno.test("clients that send half a request lose their connection", async () => {
  await using service = new TestService();
  const clock = new ManualClock();
  const { ask, listener, port } = await serve(service, clock);
  await using _ = listener;
  using slow = await Deno.connect({ hostname: "127.0.0.1", port });
  await slow.write(new TextEncoder().encode("GET /__failover/health HTTP/1.1\r\n"));
  const ended = readAll(slow);
  // The half-sent head may come after this request, so its deadline may begin with any of these.
  for (let second = 0; second < 90; second++) {
    await (await ask("health")).text();
    await clock.advance(1_000);
  }
  assertMatch(await ended, /^HTTP\/1.1 408 |^$/);
});

Deno.test("at the limit the connection that has been idle for longest is closed", async () => {
  await using service = new TestService();
  const { listener, port, events } = await serve(service);
  await using _ = listener;
  const request = new TextEncoder().encode(
    "GET /__failover/health HTTP/1.1\r\nHost: [::1]\r\n\r\n",
  );
  const clients = [];
  for (let i = 0; i < ADMIN_CONNECTIONS_MAX; i++) {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port });
    clients.push(conn);
    await conn.write(request);
    await conn.read(new Uint8Array(1_000));
  }
  using late = await Deno.connect({ hostname: "127.0.0.1", port });
  await late.write(request);
  assertMatch(await readSome(late), /^HTTP\/1.1 200 /);
  assert(events.some((event) => event.type === "limit.reached"));
  for (const conn of clients) conn.close();
});

Deno.test("a port in use is reported by a short reason", async () => {
  const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const clock = new ManualClock();
  const address = { ...LOCAL, port: taken.addr.port };
  const listener = await listenAdmin(address, new Hono(), { clock, publish: () => {} });
  taken.close();
  assertEquals(listener, "address in use");
});

async function readSome(conn: Deno.Conn): Promise<string> {
  const buffer = new Uint8Array(1_000);
  const count = await conn.read(buffer);
  return new TextDecoder().decode(buffer.subarray(0, count ?? 0));
}

async function readAll(conn: Deno.Conn): Promise<string> {
  const buffer = new Uint8Array(1_000);
  let text = "";
  for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) {
    text += new TextDecoder().decode(buffer.subarray(0, n));
  }
  return text;
}
