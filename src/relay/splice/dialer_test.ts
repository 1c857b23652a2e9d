/** The waiting room: who may wait, who has left, which address is tried, and what is short on this machine. */
import { assert, assertEquals } from "@std/assert";
import { EADDRNOTAVAIL, EMFILE } from "../../linux/errno.ts";
import { where } from "../../linux/testing/fake_kernel.ts";
import { asText, at, bytes, PORT, Rig } from "./testing/rig.ts";

Deno.test("a client that ends while its connect is refused is not held", () => {
  const rig = new Rig();
  rig.kernel.answers.set(where("10.0.0.2", 80), "silence");
  rig.open("a", 1);
  rig.client().end();
  rig.runTicks();
  rig.kernel.upstreams[0]!.refuse();
  rig.runTicks();
  assertEquals([rig.count("abandoned"), rig.count("held")], [1, 0]);
});

Deno.test("without a hold clients are served, and a client that would have to wait is turned away", () => {
  const rig = new Rig({ heldMax: 0 });
  rig.open("a", 1);
  const { client } = rig.session();
  rig.kernel.answers.set(where("10.0.0.2", 80), "refuse");
  const refused = rig.client();
  assert(refused.weClosed && !client.weClosed);
  assertEquals([rig.doubts.length, rig.count("lost")], [1, 1]);
  assertEquals(rig.of("session.failed").map((event) => "reason" in event && event.reason), [
    "connection refused",
  ]);
  rig.execute({ do: "hold" });
  assert(rig.client().weClosed);
  rig.kernel.answers.set(where("10.0.0.3", 80), "accept");
  rig.open("b", 2);
  assertEquals(rig.client().weClosed, false);
  assertEquals(rig.of("limit.reached"), []);
});

Deno.test("without a hold an upstream's early end is passed on at once, and doubted", () => {
  const rig = new Rig({ heldMax: 0 });
  rig.open("a", 1);
  const client = rig.client();
  rig.kernel.upstreams[0]!.end();
  rig.runTicks();
  assertEquals([client.weEnded, rig.doubts.map(({ reason }) => reason)], [true, [
    "closed before any byte",
  ]]);
});

Deno.test("a client that waits no longer because its upstream's end was meant makes room for another", () => {
  const rig = new Rig({ heldMax: 1 });
  rig.open("a", 1);
  const first = rig.client();
  rig.kernel.upstreams[0]!.end();
  rig.runTicks();
  rig.client();
  assertEquals(rig.count("accepted"), 1);
  rig.pass(100);
  rig.execute({ do: "confirm", upstream: "a" });
  assertEquals([first.weEnded, rig.count("accepted")], [true, 2]);
});

Deno.test("clients that come at once, and later ones, all leave an address that was found dead", () => {
  for (const clients of [1, 2, 3, 4]) {
    for (const dead of ["refuse", "silence"] as const) {
      const rig = new Rig({ connectTimeoutMs: 800 });
      rig.kernel.answers.set(where("10.0.0.4", 80), dead);
      const addresses = [at("10.0.0.4"), at("10.0.0.2")];
      rig.execute({ do: "open", upstream: "a", epoch: 1, addresses });
      for (let i = 0; i < clients; i++) rig.kernel.client(PORT);
      rig.pass(500);
      const before = rig.kernel.upstreams.length;
      rig.client();
      const tried = rig.kernel.upstreams.slice(before).map(({ address }) => address);
      assertEquals(tried[0], "10.0.0.2:80", `${clients} clients, ${dead}`);
      // The name is looked up again, and its addresses come in another order.
      rig.execute({ do: "addresses", upstream: "a", addresses: addresses.toReversed() });
      rig.client();
      assertEquals(rig.kernel.upstreams.at(-1)!.address, "10.0.0.2:80");
      rig.pass(1_000);
      assertEquals(rig.count("active"), clients + 2);
    }
  }
});

Deno.test("a socket that is connected to itself counts as refused", () => {
  const rig = new Rig();
  rig.kernel.answers.set(where("10.0.0.2", 80), "itself");
  rig.open("a", 1);
  rig.client();
  assertEquals([rig.count("active"), rig.count("held")], [0, 1]);
  assertEquals(rig.doubts.map(({ hard, reason }) => [hard, reason]), [[
    true,
    "connection refused",
  ]]);
  assert(rig.kernel.upstreams[0]!.weClosed);
});

const SHORT = [
  ["ports", EADDRNOTAVAIL, "no local port is left for connections to upstreams"],
  ["descriptors", EMFILE, "too many open files"],
] as const;
for (const [what, errno, words] of SHORT) {
  Deno.test(`without ${what} for an upstream clients wait, no upstream is doubted, and no other client is accepted`, () => {
    const rig = new Rig({ holdMs: 5_000 });
    rig.kernel.answers.set(where("10.0.0.2", 80), -errno);
    rig.open("a", 1);
    const first = rig.client();
    const second = rig.client();
    rig.pass(3_000);
    assertEquals([rig.count("accepted"), rig.count("held"), rig.doubts], [1, 1, []]);
    const reported = rig.of("accept.failed").map((event) => "reason" in event && event.reason);
    assertEquals(reported, [words]);
    rig.kernel.answers.set(where("10.0.0.2", 80), "accept");
    rig.pass(1_000);
    assertEquals([rig.count("accepted"), rig.count("active")], [2, 2]);
    assert(!first.weClosed && !second.weClosed);
  });
}

Deno.test("a shortage that lasts longer than the hold ends the client, and is reported", () => {
  const rig = new Rig({ holdMs: 2_000, connectTimeoutMs: 2_000 });
  rig.kernel.answers.set(where("10.0.0.2", 80), -EMFILE);
  rig.open("a", 1);
  const client = rig.client();
  rig.pass(2_000);
  assert(client.weClosed);
  assertEquals(rig.of("session.failed").map((event) => "reason" in event && event.reason), [
    "something is short on this machine",
  ]);
  assertEquals(rig.doubts, []);
});

Deno.test("descriptors that are given back are for those who wait already", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  rig.kernel.fdMax = rig.kernel.open + 1; // for a client, and not for its upstream
  const starved = rig.client();
  const outside = rig.client();
  assertEquals([rig.count("accepted"), rig.count("held")], [2, 1]);
  client.end();
  upstream.end();
  rig.runTicks();
  starved.send(bytes("me first"));
  outside.send(bytes("me too"));
  rig.runTicks();
  assertEquals(asText(rig.kernel.upstreams[1]!), "me first");
});

Deno.test("an address that this machine lacks a port for does not hide that another refuses", () => {
  const rig = new Rig();
  rig.kernel.answers.set(where("10.0.0.2", 80), "refuse");
  rig.kernel.answers.set(where("10.0.0.4", 80), -EADDRNOTAVAIL);
  for (
    const [epoch, ips] of [[1, ["10.0.0.2", "10.0.0.4"]], [2, ["10.0.0.4", "10.0.0.2"]]] as const
  ) {
    rig.execute({ do: "open", upstream: "a", epoch, addresses: ips.map(at) });
    rig.client();
    assertEquals(rig.doubts.at(-1)?.reason, "connection refused", ips.join());
  }
});

Deno.test("what an upstream sent before its reset reaches the client, however soon that was", () => {
  const rig = new Rig();
  rig.kernel.answers.set(where("10.0.0.2", 80), "silence");
  rig.open("a", 1);
  const client = rig.client();
  const upstream = rig.kernel.upstreams[0]!;
  upstream.accept();
  upstream.send(bytes("too many clients"));
  upstream.reset();
  rig.runTicks();
  assertEquals([asText(client), client.weReset, rig.doubts], ["too many clients", true, []]);
});
