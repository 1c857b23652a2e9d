/** One port of the gateway: what it serves, counts and publishes, and how it ends. */
import { assertEquals, assertMatch } from "@std/assert";
import { realClock } from "../base/clock.ts";
import type { Event } from "../events/events.ts";
import { Deadlines } from "../net/deadlines.ts";
import { denoSockets } from "../net/deno/transport.ts";
import type { Serve } from "./downstream.ts";
import { listen, type Listening, type ListenSettings } from "./listen.ts";

const NEVER = new AbortController().signal;

const answering: Serve = async (client) => {
  client.answer(200, "OK");
  await client.send(new TextEncoder().encode(client.head.path));
};

/** A port of the loopback that the system chooses, and what it publishes. */
async function open(settings: Partial<ListenSettings> = {}, serve: Serve = answering) {
  const events: Event[] = [];
  const port = await listen(
    { address: { kind: "tcp", host: "127.0.0.1", port: 0 }, connectionsMax: 10, ...settings },
    {
      ...{ clock: realClock, deadlines: new Deadlines(realClock), sockets: denoSockets, serve },
      publish: (event) => events.push(event),
    },
  );
  return { port, events };
}

function opened(port: Listening | string): { listening: Listening; number: number } {
  if (typeof port === "string") throw new Error(port);
  return { listening: port, number: port.address.kind === "tcp" ? port.address.port : 0 };
}

/** Everything that the port answers to `text`. */
async function answerTo(port: number, text: string): Promise<string> {
  using conn = await Deno.connect({ hostname: "127.0.0.1", port });
  await conn.write(new TextEncoder().encode(text));
  return await new Response(conn.readable).text();
}

Deno.test("a port is opened where the system chooses, and its requests are answered", async () => {
  const { port, events } = await open();
  const { listening, number } = opened(port);
  assertEquals(events, [{ type: "port.opened", address: `127.0.0.1:${number}` }]);
  const text = await answerTo(number, "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  assertMatch(text, /^HTTP\/1\.1 200 OK\r\n[^]*\/x$/);
  assertEquals(await listening.stop(0, NEVER), 0);
  await listening.finished;
  assertEquals(events.at(-1)?.type, "port.closed");
});

Deno.test("a request that the server refuses is counted and published", async () => {
  const { port, events } = await open();
  const { listening, number } = opened(port);
  assertMatch(await answerTo(number, "GET / HTTP/1.1\r\n\r\n"), /^HTTP\/1\.1 400 /);
  const { accepted, refused, faulted } = listening.counters();
  assertEquals([accepted, refused, faulted], [1, 1, 0]);
  assertEquals(events.some(({ type }) => type === "request.refused"), true);
  await listening.stop(0, NEVER);
});

Deno.test("an address that is in use is a reason, and publishes nothing", async () => {
  const first = await open();
  const { listening, number } = opened(first.port);
  const second = await open({ address: { kind: "tcp", host: "127.0.0.1", port: number } });
  assertEquals([second.port, second.events], ["address in use", []]);
  await listening.stop(0, NEVER);
});

Deno.test("limits that are changed hold for connections that come later", async () => {
  const { port } = await open();
  const { listening, number } = opened(port);
  listening.configure({ connectionsMax: 10, limits: { headBytesMax: 300 } });
  const long = `GET /${"x".repeat(400)} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
  assertMatch(await answerTo(number, long), /^HTTP\/1\.1 4\d\d /);
  await listening.stop(0, NEVER);
});

Deno.test("a stop waits for the exchange that is under way, and cuts it when its time is up", async () => {
  const begun = Promise.withResolvers<void>();
  const serve: Serve = async (client) => {
    begun.resolve();
    await new Promise<void>((resolve) => client.whenGone = () => resolve());
    throw client.gone;
  };
  const { port } = await open({}, serve);
  const { listening, number } = opened(port);
  const asking = answerTo(number, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").catch(() => "");
  await begun.promise;
  assertEquals(listening.connections(), 1);
  const now = new AbortController();
  const stopped = listening.stop(60_000, now.signal);
  now.abort();
  assertEquals([await stopped, await asking], [1, ""]);
});
