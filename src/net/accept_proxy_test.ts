import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { AcceptProxy, MissingHeaders } from "./accept_proxy.ts";
import { PROXY_HEADER_MS } from "./proxy_protocol.ts";
import { fakePair } from "./testing/fake_conn.ts";

/** A server behind the reading of headers, and what both were called with. */
function fixture(connectionsMax = 10) {
  const clock = new ManualClock();
  const reported: [string, number][] = [];
  const missing = new MissingHeaders(
    () => clock.now(),
    (peer, count) => reported.push([peer, count]),
  );
  const served: string[] = [];
  const inner = {
    hasRoom: true,
    room: () => Promise.resolve(),
    serve: (_: unknown, peer: string) => Promise.resolve(void served.push(peer)),
  };
  const front = new AcceptProxy(inner, "any", clock, missing, connectionsMax);
  return { clock, reported, missing, served, front };
}

Deno.test("a client is served under the address that its header names", async () => {
  const { front, served, missing } = fixture();
  const [near, far] = fakePair();
  await far.sendText("PROXY TCP4 192.0.2.9 192.0.2.1 4000 80\r\nhello");
  await front.serve(near, "10.0.0.1");
  assertEquals([served, missing.count], [["192.0.2.9"], 0]);
  // No byte behind the header was taken.
  assertEquals(await near.read(new Uint8Array(9)), 5);
});

Deno.test("a header that names nobody leaves the address as it is", async () => {
  const { front, served } = fixture();
  const [near, far] = fakePair();
  await far.sendText("PROXY UNKNOWN\r\n");
  await front.serve(near, "10.0.0.1");
  assertEquals(served, ["10.0.0.1"]);
});

Deno.test("a client without a header is closed, counted, and reported at a limited rate", async () => {
  const { clock, front, missing, reported, served } = fixture();
  for (let client = 1; client <= 3; client++) {
    const [near, far] = fakePair();
    await far.sendText("GET / HTTP/1.1\r\n\r\n");
    await front.serve(near, `10.0.0.${client}`);
    assertEquals(near.end, "reset");
  }
  assertEquals([served, missing.count, reported], [[], 3, [["10.0.0.1", 1]]]);
  await clock.advance(10_000);
  const [near, far] = fakePair();
  await far.closeWrite();
  await front.serve(near, "10.0.0.4");
  assertEquals(reported, [["10.0.0.1", 1], ["10.0.0.4", 3]]);
});

Deno.test("a client that sends nothing has its time, and takes one of a limited number of places", async () => {
  const { clock, front, missing } = fixture(1);
  const [near] = fakePair();
  const serving = front.serve(near, "10.0.0.1");
  assertEquals(front.hasRoom, false);
  let hasRoom = false;
  const waiting = front.room().then(() => hasRoom = true);
  await clock.advance(PROXY_HEADER_MS - 1);
  assertEquals([hasRoom, missing.count], [false, 0]);
  await clock.advance(1);
  await Promise.all([serving, waiting]);
  assertEquals([front.hasRoom, missing.count], [true, 1]);
});

Deno.test("closing ends the connections that are still without a header", async () => {
  const { front, missing } = fixture();
  const [near] = fakePair();
  const serving = front.serve(near, "10.0.0.1");
  front.close();
  await serving;
  assertEquals([near.end, missing.count], ["closed", 1]);
});
