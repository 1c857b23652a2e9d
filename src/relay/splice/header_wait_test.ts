import { assertEquals } from "@std/assert";
import { Loop } from "../../linux/loop.ts";
import { ipSockaddr } from "../../linux/sockaddr.ts";
import { FakeKernel } from "../../linux/testing/fake_kernel.ts";
import { PROXY_HEADER_MS } from "../../net/proxy_protocol.ts";
import { HeaderWaits } from "./header_wait.ts";

const HEADER = "PROXY TCP4 192.0.2.9 192.0.2.1 4000 80\r\n";

/** Clients that wait, and what became of them. */
class Fixture {
  readonly kernel = new FakeKernel();
  readonly loop = new Loop(this.kernel);
  readonly ended: string[] = [];
  readonly waits = new HeaderWaits(
    this.loop,
    "any",
    (_, addresses) => {
      const client = addresses?.client;
      this.ended.push(client?.kind === "tcp" ? client.host : "nobody");
    },
    () => this.ended.push("missing"),
  );

  /** A client that waits: its socket and its peer. */
  client() {
    this.kernel.answers.set("127.0.0.1:1", "accept");
    const fd = this.kernel.connect(ipSockaddr("127.0.0.1", 1)!, { userTimeoutMs: 0 });
    assertEquals(this.waits.add(fd), 0);
    return { fd, peer: this.kernel.upstreams.at(-1)! };
  }
}

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("a header may come in any parts, and no byte behind it is read", () => {
  const fixture = new Fixture();
  const { fd, peer } = fixture.client();
  for (const part of [HEADER.slice(0, 3), HEADER.slice(3, 20), `${HEADER.slice(20)}hello`]) {
    assertEquals(fixture.ended, []);
    peer.send(bytes(part));
    fixture.loop.tick(0);
  }
  assertEquals([fixture.ended, fixture.waits.size, fixture.loop.watched], [["192.0.2.9"], 0, 0]);
  const left = new Uint8Array(9);
  assertEquals(fixture.kernel.receiveInto(fd, left), 5);
});

Deno.test("other bytes, an end and a reset are no header", () => {
  const fixture = new Fixture();
  fixture.client().peer.send(bytes("GET / HTTP/1.1\r\n"));
  fixture.client().peer.end();
  fixture.client().peer.reset();
  fixture.loop.tick(0);
  assertEquals([fixture.ended, fixture.waits.size], [["missing", "missing", "missing"], 0]);
});

Deno.test("a client that sends no header in time has none", () => {
  const fixture = new Fixture();
  fixture.client();
  fixture.kernel.time += PROXY_HEADER_MS - 1;
  fixture.loop.tick(0);
  assertEquals(fixture.ended, []);
  // A deadline of the loop is up to a tick of its wheel late.
  fixture.kernel.time += 50;
  fixture.loop.tick(0);
  assertEquals([fixture.ended, fixture.waits.size], [["missing"], 0]);
});

Deno.test("clients whose wait is cancelled are given back, and nothing is called for them", () => {
  const fixture = new Fixture();
  const clients = [fixture.client(), fixture.client()];
  assertEquals(fixture.waits.cancelAll(), clients.map(({ fd }) => fd));
  clients[0]!.peer.send(bytes(HEADER));
  fixture.kernel.time += 2 * PROXY_HEADER_MS;
  fixture.loop.tick(0);
  assertEquals([fixture.ended, fixture.loop.watched], [[], 0]);
});
