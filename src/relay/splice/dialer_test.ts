/** Clients before their session: which may wait, which have left, which address is tried, and shortages. */
import { assert, assertEquals } from "@std/assert";
import { EADDRNOTAVAIL, EMFILE } from "../../linux/errno.ts";
import { endpointName } from "../../linux/testing/fake_kernel.ts";
import { asText, at, bytes, PORT, SpliceFixture } from "./testing/splice_fixture.ts";

Deno.test("a client that ends while its connect is refused is not held", () => {
  const fixture = new SpliceFixture();
  fixture.kernel.answers.set(endpointName("10.0.0.2", 80), "silence");
  fixture.open("a", 1);
  fixture.client().end();
  fixture.runTicks();
  fixture.kernel.upstreams[0]!.refuse();
  fixture.runTicks();
  assertEquals([fixture.count("abandoned"), fixture.count("held")], [1, 0]);
});

Deno.test("without a hold clients are served, and a client that would have to wait is turned away", () => {
  const fixture = new SpliceFixture({ heldMax: 0 });
  fixture.open("a", 1);
  const { client } = fixture.session();
  fixture.kernel.answers.set(endpointName("10.0.0.2", 80), "refuse");
  const refused = fixture.client();
  assert(refused.weClosed && !client.weClosed);
  assertEquals([fixture.doubts.length, fixture.count("lost")], [1, 1]);
  assertEquals(fixture.of("session.failed").map((event) => "reason" in event && event.reason), [
    "connection refused",
  ]);
  fixture.execute({ do: "hold" });
  assert(fixture.client().weClosed);
  fixture.kernel.answers.set(endpointName("10.0.0.3", 80), "accept");
  fixture.open("b", 2);
  assertEquals(fixture.client().weClosed, false);
  assertEquals(fixture.of("limit.reached"), []);
});

Deno.test("without a hold an upstream's early end is passed on at once, and doubted", () => {
  const fixture = new SpliceFixture({ heldMax: 0 });
  fixture.open("a", 1);
  const client = fixture.client();
  fixture.kernel.upstreams[0]!.end();
  fixture.runTicks();
  assertEquals([client.weEnded, fixture.doubts.map(({ reason }) => reason)], [true, [
    "closed before any byte",
  ]]);
});

Deno.test("a client whose wait ends because its upstream's end was intended makes room for another", () => {
  const fixture = new SpliceFixture({ heldMax: 1 });
  fixture.open("a", 1);
  const first = fixture.client();
  fixture.kernel.upstreams[0]!.end();
  fixture.runTicks();
  fixture.client();
  assertEquals(fixture.count("accepted"), 1);
  fixture.pass(100);
  fixture.execute({ do: "confirm", upstream: "a" });
  assertEquals([first.weEnded, fixture.count("accepted")], [true, 2]);
});

Deno.test("clients that connect at once, and later ones, all avoid an address that was found dead", () => {
  for (const clients of [1, 2, 3, 4]) {
    for (const dead of ["refuse", "silence"] as const) {
      const fixture = new SpliceFixture({ connectTimeoutMs: 800 });
      fixture.kernel.answers.set(endpointName("10.0.0.4", 80), dead);
      const addresses = [at("10.0.0.4"), at("10.0.0.2")];
      fixture.execute({ do: "open", upstream: "a", epoch: 1, addresses });
      for (let i = 0; i < clients; i++) fixture.kernel.client(PORT);
      fixture.pass(500);
      const before = fixture.kernel.upstreams.length;
      fixture.client();
      const tried = fixture.kernel.upstreams.slice(before).map(({ address }) => address);
      assertEquals(tried[0], "10.0.0.2:80", `${clients} clients, ${dead}`);
      // The name is looked up again, and its addresses come in another order.
      fixture.execute({ do: "addresses", upstream: "a", addresses: addresses.toReversed() });
      fixture.client();
      assertEquals(fixture.kernel.upstreams.at(-1)!.address, "10.0.0.2:80");
      fixture.pass(1_000);
      assertEquals(fixture.count("active"), clients + 2);
    }
  }
});

Deno.test("a socket that is connected to itself counts as refused", () => {
  const fixture = new SpliceFixture();
  fixture.kernel.answers.set(endpointName("10.0.0.2", 80), "itself");
  fixture.open("a", 1);
  fixture.client();
  assertEquals([fixture.count("active"), fixture.count("held")], [0, 1]);
  assertEquals(fixture.doubts.map(({ hard, reason }) => [hard, reason]), [[
    true,
    "connection refused",
  ]]);
  assert(fixture.kernel.upstreams[0]!.weClosed);
});

const SHORT = [
  ["ports", EADDRNOTAVAIL, "no local port is left for connections to upstreams"],
  ["descriptors", EMFILE, "too many open files"],
] as const;
for (const [what, errno, words] of SHORT) {
  Deno.test(`without ${what} for an upstream clients wait, no upstream is doubted, and no other client is accepted`, () => {
    const fixture = new SpliceFixture({ holdMs: 5_000 });
    fixture.kernel.answers.set(endpointName("10.0.0.2", 80), -errno);
    fixture.open("a", 1);
    const first = fixture.client();
    const second = fixture.client();
    fixture.pass(3_000);
    assertEquals([fixture.count("accepted"), fixture.count("held"), fixture.doubts], [1, 1, []]);
    const reported = fixture.of("accept.failed").map((event) => "reason" in event && event.reason);
    assertEquals(reported, [words]);
    fixture.kernel.answers.set(endpointName("10.0.0.2", 80), "accept");
    fixture.pass(1_000);
    assertEquals([fixture.count("accepted"), fixture.count("active")], [2, 2]);
    assert(!first.weClosed && !second.weClosed);
  });
}

Deno.test("a shortage that lasts longer than the hold ends the client, and is reported", () => {
  const fixture = new SpliceFixture({ holdMs: 2_000, connectTimeoutMs: 2_000 });
  fixture.kernel.answers.set(endpointName("10.0.0.2", 80), -EMFILE);
  fixture.open("a", 1);
  const client = fixture.client();
  fixture.pass(2_000);
  assert(client.weClosed);
  assertEquals(fixture.of("session.failed").map((event) => "reason" in event && event.reason), [
    "something is short on this machine",
  ]);
  assertEquals(fixture.doubts, []);
});

Deno.test("descriptors that become free go to clients that already wait", () => {
  const fixture = new SpliceFixture();
  fixture.open("a", 1);
  const { client, upstream } = fixture.session();
  fixture.kernel.fdMax = fixture.kernel.open + 1; // for a client, and not for its upstream
  const waiting = fixture.client();
  const queued = fixture.client();
  assertEquals([fixture.count("accepted"), fixture.count("held")], [2, 1]);
  client.end();
  upstream.end();
  fixture.runTicks();
  waiting.send(bytes("me first"));
  queued.send(bytes("me too"));
  fixture.runTicks();
  assertEquals(asText(fixture.kernel.upstreams[1]!), "me first");
});

Deno.test("an address for which this machine has no local port does not hide that another one refuses", () => {
  const fixture = new SpliceFixture();
  fixture.kernel.answers.set(endpointName("10.0.0.2", 80), "refuse");
  fixture.kernel.answers.set(endpointName("10.0.0.4", 80), -EADDRNOTAVAIL);
  for (
    const [epoch, ips] of [[1, ["10.0.0.2", "10.0.0.4"]], [2, ["10.0.0.4", "10.0.0.2"]]] as const
  ) {
    fixture.execute({ do: "open", upstream: "a", epoch, addresses: ips.map(at) });
    fixture.client();
    assertEquals(fixture.doubts.at(-1)?.reason, "connection refused", ips.join());
  }
});

Deno.test("what an upstream sent before its reset reaches the client, however soon the reset came", () => {
  const fixture = new SpliceFixture();
  fixture.kernel.answers.set(endpointName("10.0.0.2", 80), "silence");
  fixture.open("a", 1);
  const client = fixture.client();
  const upstream = fixture.kernel.upstreams[0]!;
  upstream.accept();
  upstream.send(bytes("too many clients"));
  upstream.reset();
  fixture.runTicks();
  assertEquals([asText(client), client.weReset, fixture.doubts], ["too many clients", true, []]);
});
