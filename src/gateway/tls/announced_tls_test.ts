/** The clients of connections that come to the TLS listener by the loopback. */
import { assertEquals } from "@std/assert";
import { unusedPort } from "../../base/testing/ports.ts";
import { ManualClock, realClock } from "../../base/clock.ts";
import { fakePair } from "../../net/testing/fake_conn.ts";
import { ClientsByPort, TlsFront } from "./announced_tls.ts";

const from = (port: number) =>
  ({ remoteAddr: { transport: "tcp", hostname: "127.0.0.1", port } }) as Deno.TlsConn;

Deno.test("the client of a connection is known by its port, perhaps a moment later", async () => {
  const clock = new ManualClock();
  const clients = new ClientsByPort(clock);
  clients.set(7, "192.0.2.7");
  assertEquals(await clients.clientOf(from(7)), "192.0.2.7");
  const later = clients.clientOf(from(8));
  await clock.advance(10);
  clients.set(8, "192.0.2.8");
  await clock.advance(2);
  assertEquals([await later, clock.pending], ["192.0.2.8", 0]);
  clients.delete(7);
  const unknown = clients.clientOf(from(7));
  for (let ms = 0; ms < 1_000; ms += 2) await clock.advance(2);
  assertEquals([await unknown, clock.pending], [undefined, 0]);
});

const server = { hasRoom: true, room: () => Promise.resolve() };

Deno.test("the bytes of a client are passed on, and its name is known as long as it is connected", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const clients = new ClientsByPort(realClock);
  const front = new TlsFront({ clock: realClock, clients, port: listener.addr.port, server });
  assertEquals(front.hasRoom, true);
  const [client, end] = fakePair();
  const served = front.serve(end, "192.0.2.9");
  const inner = await listener.accept();
  assertEquals(await clients.clientOf(inner as unknown as Deno.TlsConn), "192.0.2.9");
  await client.sendText("hello");
  const buffer = new Uint8Array(5);
  await inner.read(buffer);
  await inner.write(buffer);
  inner.close();
  assertEquals(await client.readAllText(), "hello");
  client.close();
  await served;
  assertEquals(end.end, "closed");
});

Deno.test("while nothing listens it is tried again, and then the client is closed", async () => {
  const port = unusedPort();
  let pauses = 0;
  const clock = Object.assign(new ManualClock(), {
    after: (_: number, callback: () => void) => {
      pauses++;
      queueMicrotask(callback);
      return () => {};
    },
  });
  const [client, end] = fakePair();
  const front = new TlsFront({ clock, clients: new ClientsByPort(clock), port, server });
  await front.serve(end, "192.0.2.9");
  assertEquals([pauses, await client.readAllText()], [19, ""]);
});
