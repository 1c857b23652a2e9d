import { assert, assertEquals } from "@std/assert";
import type { Event } from "../../events/events.ts";
import type { Doubt, DrainOrder } from "../../failover/ports.ts";
import { EADDRINUSE, EHOSTUNREACH } from "../../linux/errno.ts";
import type { SockAddr } from "../../linux/kernel.ts";
import { Loop } from "../../linux/loop.ts";
import { ipSockaddr } from "../../linux/sockaddr.ts";
import { FakeKernel, type Peer, where } from "../../linux/testing/fake_kernel.ts";
import type { RelaySettings } from "../engine.ts";
import { SETTINGS } from "../testing/world.ts";
import { COUNT, newCounters } from "./counters.ts";
import type { Order } from "./messages.ts";
import { Plane } from "./plane.ts";

const PORT = 1;
const at = (ip: string): SockAddr => ipSockaddr(ip, 80)!;
const bytes = (text: string) => new TextEncoder().encode(text);
const text = (from: Peer) => new TextDecoder().decode(from.read());

/** A plane on a fake kernel. Upstream a is at 10.0.0.2, b at 10.0.0.3. */
class Rig {
  readonly kernel = new FakeKernel({ scratchBytes: 64, bufferBytes: 256 });
  readonly counters = newCounters();
  readonly events: Event[] = [];
  readonly doubts: Doubt[] = [];
  readonly plane: Plane;
  stopped: number | undefined;

  constructor(settings: Partial<RelaySettings> = {}) {
    const loop = new Loop(this.kernel);
    this.plane = new Plane(loop, this.counters, { ...SETTINGS, ...settings }, false, (report) => {
      if (report.is === "event") this.events.push(report.event);
      if (report.is === "doubt") this.doubts.push(report.doubt);
      if (report.is === "stopped") this.stopped = report.cut;
    });
    this.kernel.answers.set(where("10.0.0.2", 80), "accept");
    this.kernel.answers.set(where("10.0.0.3", 80), "accept");
    this.obey({ do: "bind", address: ipSockaddr("127.0.0.1", PORT)! });
  }

  obey(order: Order): void {
    this.plane.obey(order);
    this.turns();
  }

  open(upstream: "a" | "b", epoch: number): void {
    const addresses = [at(upstream === "a" ? "10.0.0.2" : "10.0.0.3")];
    this.obey({ do: "open", upstream, epoch, addresses });
  }

  /** Lets everything happen that can without time passing. */
  turns(): void {
    for (let turn = 0; turn < 20; turn++) this.plane.loop.turn();
  }

  /** Lets time pass, in steps as small as the loop's own. */
  pass(ms: number): void {
    for (const end = this.kernel.time + ms; this.kernel.time < end;) {
      this.kernel.time = Math.min(end, this.kernel.time + 16);
      this.plane.loop.turn();
    }
    this.kernel.time += 16; // a deadline may be met up to one tick late
    this.turns();
  }

  client(): Peer {
    const peer = this.kernel.client(PORT)!;
    this.turns();
    return peer;
  }

  /** A client through which a byte went each way, and its upstream. */
  session(): { client: Peer; upstream: Peer } {
    const client = this.client();
    const upstream = this.kernel.upstreams.at(-1)!;
    client.send(bytes("?"));
    upstream.send(bytes("!"));
    this.turns();
    assertEquals([text(upstream), text(client)], ["?", "!"]);
    return { client, upstream };
  }

  count(name: keyof typeof COUNT): number {
    return this.counters[COUNT[name]]!;
  }

  of<T extends Event["type"]>(type: T): Event[] {
    return this.events.filter((event) => event.type === type);
  }
}

const DRAIN: DrainOrder = {
  upstream: "a",
  throughEpoch: 1,
  graceMs: 0,
  sparedIfMovedMs: undefined,
  reason: "test",
};

Deno.test("an upstream that is silent for 500 ms is doubted once, softly", () => {
  const rig = new Rig();
  rig.kernel.answers.set(where("10.0.0.2", 80), "silence");
  rig.open("a", 1);
  rig.client();
  rig.pass(480);
  assertEquals(rig.doubts, []);
  rig.pass(500);
  assertEquals(rig.doubts, [
    { upstream: "a", epoch: 1, hard: false, reason: "no answer to connect" },
  ]);
  rig.kernel.upstreams[0]!.accept();
  rig.turns();
  assertEquals([rig.count("active"), rig.count("held")], [1, 0]);
});

Deno.test("a connect that gets no answer is given up after the connect timeout and may be confirmed", () => {
  const rig = new Rig({ connectTimeoutMs: 2_000 });
  rig.kernel.answers.set(where("10.0.0.2", 80), "silence");
  rig.open("a", 1);
  rig.client();
  rig.pass(2_000);
  assertEquals([rig.doubts.length, rig.count("held")], [2, 1]);
  assert(rig.kernel.upstreams[0]!.weClosed);
  rig.kernel.answers.set(where("10.0.0.2", 80), "accept");
  rig.obey({ do: "confirm", upstream: "a" });
  rig.pass(50);
  assertEquals([rig.count("active"), rig.count("released")], [1, 1]);
});

Deno.test("a client whose connects keep failing tries at 50, 100, 200 … 1000 ms after each confirmation", () => {
  const rig = new Rig({ holdMs: 60_000 });
  rig.kernel.answers.set(where("10.0.0.2", 80), "refuse");
  rig.open("a", 1);
  rig.client();
  for (const waitMs of [50, 100, 200, 400, 800, 1_000, 1_000]) {
    const tries = rig.kernel.upstreams.length;
    rig.obey({ do: "confirm", upstream: "a" });
    rig.pass(waitMs - 20);
    assertEquals(rig.kernel.upstreams.length, tries, `before ${waitMs} ms`);
    rig.pass(20);
    assertEquals(rig.kernel.upstreams.length, tries + 1, `after ${waitMs} ms`);
  }
  assert(rig.doubts.every(({ hard }) => hard));
});

Deno.test("a client without a verdict does not connect again by itself", () => {
  const rig = new Rig();
  rig.kernel.answers.set(where("10.0.0.2", 80), "refuse");
  rig.open("a", 1);
  rig.client();
  rig.pass(5_000);
  assertEquals(rig.kernel.upstreams.length, 1);
});

Deno.test("many clients that fail at once are one doubt", () => {
  const rig = new Rig();
  rig.kernel.answers.set(where("10.0.0.2", 80), "refuse");
  rig.open("a", 1);
  for (let i = 0; i < 50; i++) rig.kernel.client(PORT);
  rig.turns();
  assertEquals([rig.count("held"), rig.doubts.length], [50, 1]);
});

Deno.test("a client waits for the longer of hold and connect timeout, then is lost with the last fault", () => {
  const rig = new Rig({ holdMs: 1_000, connectTimeoutMs: 3_000 });
  rig.kernel.answers.set(where("10.0.0.2", 80), -EHOSTUNREACH);
  rig.open("a", 1);
  const client = rig.client();
  rig.pass(2_900);
  assert(!client.weClosed);
  rig.pass(100);
  assert(client.weClosed);
  assertEquals([rig.count("lost"), rig.count("held"), rig.count("longestHoldMs") >= 3_000], [
    1,
    0,
    true,
  ]);
  assertEquals(rig.of("session.failed"), [{
    type: "session.failed",
    upstream: "a",
    client: "10.0.0.1:40000",
    reason: "no route to host",
  }]);
});

Deno.test("an upstream with several addresses is tried at each, beginning with the one that answered", () => {
  const rig = new Rig();
  rig.kernel.answers.set(where("10.0.0.4", 80), "refuse");
  const addresses = [at("10.0.0.4"), at("10.0.0.2")];
  rig.obey({ do: "open", upstream: "a", epoch: 1, addresses });
  rig.client();
  rig.client();
  const tried = rig.kernel.upstreams.map(({ address }) => address);
  assertEquals(tried, ["10.0.0.4:80", "10.0.0.2:80", "10.0.0.2:80"]);
  assertEquals([rig.count("active"), rig.doubts.length], [2, 0]);
});

Deno.test("a silent address takes only its share of the connect timeout", () => {
  const rig = new Rig({ connectTimeoutMs: 800 });
  rig.kernel.answers.set(where("10.0.0.4", 80), "silence");
  const addresses = [at("10.0.0.4"), at("10.0.0.2")];
  rig.obey({ do: "open", upstream: "a", epoch: 1, addresses });
  rig.client();
  rig.pass(400);
  assertEquals(rig.count("active"), 1);
});

Deno.test("clients wait while a name is looked up, and go on when its addresses are known", () => {
  const rig = new Rig();
  rig.obey({ do: "open", upstream: "a", epoch: 1, addresses: undefined });
  const client = rig.client();
  client.send(bytes("x"));
  rig.obey({ do: "addresses", upstream: "b", addresses: [at("10.0.0.3")] });
  assertEquals(rig.kernel.upstreams, []);
  rig.obey({ do: "addresses", upstream: "a", addresses: [at("10.0.0.2")] });
  assertEquals(text(rig.kernel.upstreams[0]!), "x");
});

Deno.test("a name that has no address is doubted, and its clients go on when it has one", () => {
  const rig = new Rig();
  rig.obey({ do: "open", upstream: "a", epoch: 1, addresses: undefined });
  rig.client();
  rig.obey({ do: "addresses", upstream: "a", addresses: [] });
  assertEquals(rig.doubts.map(({ reason, hard }) => [reason, hard]), [[
    "name does not resolve",
    false,
  ]]);
  rig.obey({ do: "addresses", upstream: "a", addresses: [at("10.0.0.2")] });
  assertEquals(rig.count("active"), 1);
});

Deno.test("a name that stops resolving keeps its last addresses", () => {
  const rig = new Rig();
  rig.open("a", 1);
  rig.obey({ do: "addresses", upstream: "a", addresses: [] });
  rig.client();
  assertEquals(rig.count("active"), 1);
});

Deno.test("an order of an older epoch changes nothing", () => {
  const rig = new Rig();
  rig.open("b", 2);
  rig.open("a", 1);
  rig.client();
  assertEquals(rig.kernel.upstreams[0]!.address, "10.0.0.3:80");
});

Deno.test("running out of descriptors pauses accepting, is told of, and service goes on", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  rig.kernel.fdMax = rig.kernel.open;
  const late = rig.client();
  client.send(bytes("still here"));
  rig.turns();
  assertEquals(text(upstream), "still here");
  assertEquals(rig.of("accept.failed"), [{
    type: "accept.failed",
    address: "127.0.0.1:1",
    reason: "too many open files",
    retryInMs: 1_000,
  }]);
  rig.kernel.fdMax = Infinity;
  rig.pass(1_000);
  late.send(bytes("hello"));
  rig.turns();
  assertEquals(text(rig.kernel.upstreams.at(-1)!), "hello");
});

Deno.test("a client for whose upstream no descriptor is left waits for one without a doubt", () => {
  const rig = new Rig();
  rig.open("a", 1);
  rig.kernel.fdMax = rig.kernel.open + 1;
  rig.client();
  assertEquals([rig.count("held"), rig.doubts.length, rig.of("accept.failed").length], [1, 0, 1]);
  rig.kernel.fdMax = Infinity;
  rig.pass(1_000);
  assertEquals(rig.count("active"), 1);
});

Deno.test("bulk is copied when the system gives no pipe", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  rig.kernel.fdMax = rig.kernel.open;
  const said = "0123456789".repeat(100);
  let got = "";
  for (let sent = 0; got.length < said.length;) {
    sent += client.send(bytes(said.slice(sent)));
    rig.turns();
    got += text(upstream);
  }
  assertEquals(got, said);
  assertEquals(rig.kernel.spliced, 0);
});

Deno.test("bulk moves through a pipe, small messages are copied, and an idle session holds no pipe", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  const before = rig.kernel.open;
  const send = (size: number, times: number): void => {
    for (let i = 0; i < times; i++) {
      client.send(new Uint8Array(size));
      rig.turns();
      assertEquals(upstream.read().length, size);
    }
  };
  send(10, 5);
  assertEquals(rig.kernel.spliced, 0);
  send(200, 5);
  const { spliced, copied } = rig.kernel;
  assert(spliced > 500, `${spliced} spliced`);
  send(200, 5);
  assertEquals([rig.kernel.spliced - spliced, rig.kernel.copied - copied], [1_000, 0]);
  send(10, 10);
  assert(rig.kernel.copied - copied >= 60, "it never went back to copying");
  rig.plane.plant.pools.trim();
  assertEquals(rig.kernel.open, before);
});

Deno.test("a sink that takes nothing stops its source, and only that direction", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  let taken = 0;
  for (let i = 0; i < 50; i++) {
    taken += client.send(new Uint8Array(100));
    rig.turns();
  }
  assert(taken <= 3 * 256, `${taken} bytes taken`); // both sockets' buffers and one pipe
  upstream.send(bytes("the other way"));
  rig.turns();
  assertEquals(text(client), "the other way");
});

Deno.test("a flood does not keep another session from its turn", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const greedy = rig.session();
  const modest = rig.session();
  modest.client.send(bytes("me too"));
  // The greedy one never runs dry: whenever the relay reads, there is more.
  const { kernel } = rig;
  const receive = kernel.receive.bind(kernel);
  const splice = kernel.splice.bind(kernel);
  const refill = () => {
    greedy.upstream.read();
    greedy.client.send(new Uint8Array(200));
  };
  kernel.receive = (fd) => {
    refill();
    return receive(fd);
  };
  kernel.splice = (from, to, count) => {
    refill();
    return splice(from, to, count);
  };
  refill();
  for (let turn = 0; turn < 3; turn++) rig.plane.loop.turn();
  assertEquals(text(modest.upstream), "me too");
});

Deno.test("a session is idle when no byte moves either way, and one byte is enough to go on", () => {
  const rig = new Rig({ idleTimeoutMs: 1_000 });
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  for (let i = 0; i < 5; i++) {
    rig.pass(800);
    upstream.send(bytes("."));
    rig.turns();
  }
  assert(!client.weClosed);
  rig.pass(1_000);
  assert(client.weClosed && upstream.weClosed && !upstream.weReset);
});

Deno.test("a reset by either side reaches the other as a reset", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const [one, two] = [rig.session(), rig.session()];
  one.client.reset();
  two.upstream.reset();
  rig.turns();
  assert(one.upstream.weReset && two.client.weReset);
  assertEquals(rig.count("active"), 0);
});

Deno.test("bytes that an upstream sent before its reset reach a client that is slow to read", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  let sent = 0;
  for (let i = 0; i < 20; i++) {
    sent += upstream.send(new Uint8Array(50));
    rig.turns();
  }
  upstream.reset();
  rig.turns();
  assert(!client.weClosed);
  let got = 0;
  while (!client.weClosed) {
    got += client.read().length;
    rig.turns();
  }
  assertEquals(got + client.read().length, sent);
  assert(client.weReset);
});

Deno.test("a client that resets while its upstream takes nothing is ended at once", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  for (let i = 0; i < 20; i++) {
    client.send(new Uint8Array(50));
    rig.turns();
  }
  client.reset();
  rig.turns();
  assert(upstream.weReset);
});

Deno.test("an upstream that answers and closes while the client still sends gets its answer through", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  upstream.send(bytes("too large"));
  upstream.end();
  rig.turns();
  upstream.hasReset = true; // what it gets from now on it answers with a reset
  client.send(new Uint8Array(100));
  rig.turns();
  assertEquals(text(client), "too large");
  assert(client.weClosed);
});

Deno.test("a drain spares who moved lately, and looks again", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const [silent, busy] = [rig.session(), rig.session()];
  rig.pass(5_000);
  busy.client.send(bytes("x"));
  rig.turns();
  rig.obey({ do: "drain", order: { ...DRAIN, graceMs: 1_000, sparedIfMovedMs: 2_000 } });
  rig.pass(900);
  assert(!silent.client.weClosed);
  rig.pass(100);
  assert(silent.client.weReset && silent.upstream.weReset && !busy.client.weClosed);
  busy.client.send(bytes("y"));
  rig.turns();
  rig.pass(1_900);
  assert(!busy.client.weClosed);
  rig.pass(2_100);
  assert(busy.client.weReset);
  const { type, reason } = { type: "sessions.cut" as const, reason: "test" };
  assertEquals(rig.of("sessions.cut"), [
    { type, upstream: "a", count: 1, kept: 1, reason },
    { type, upstream: "a", count: 1, kept: 0, reason },
  ]);
  assertEquals(rig.count("cut"), 2);
});

Deno.test("a stop ends the loop when the last session ended, and cuts what is left in time", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  rig.session();
  rig.obey({ do: "stop", drainMs: 1_000 });
  assertEquals(rig.kernel.client(PORT), undefined);
  client.end();
  upstream.end();
  rig.turns();
  assertEquals([rig.stopped, rig.count("active")], [undefined, 1]);
  rig.pass(1_000);
  assertEquals([rig.stopped, rig.count("cut"), rig.kernel.open], [1, 0, 0]);
});

Deno.test("a port that is taken is told of and tried again each second, until it is not wanted", () => {
  const rig = new Rig();
  const { kernel } = rig;
  const listen = kernel.listen.bind(kernel);
  let tries = 0;
  kernel.listen = () => {
    tries++;
    return -EADDRINUSE;
  };
  rig.open("a", 1);
  assertEquals(rig.of("port.failed"), [{
    type: "port.failed",
    address: "127.0.0.1:1",
    reason: "address in use",
    retryInMs: 1_000,
  }]);
  rig.pass(1_000);
  assertEquals(tries, 2);
  rig.obey({ do: "refuse" });
  rig.pass(3_000);
  assertEquals(tries, 2);
  kernel.listen = listen;
  rig.open("a", 2);
  assertEquals(rig.of("port.opened").length, 1);
});
