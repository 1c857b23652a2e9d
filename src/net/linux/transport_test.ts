/** Dialling and accepting on the fake kernel: shortages, peers that never answer, and what stays open. */
import { assertEquals, assertRejects } from "@std/assert";
import { ManualClock } from "../../base/clock.ts";
import { Fault } from "../../base/fault.ts";
import { EHOSTUNREACH, EMFILE, ENOMEM } from "../../linux/errno.ts";
import { Dice, seeds } from "../../base/testing/dice.ts";
import { FakeHost } from "../testing/fake_host.ts";
import { listeningOn, PORT } from "../testing/fake_port.ts";
import { endpointName } from "../../linux/testing/fake_kernel.ts";
import type { FakeAnswer } from "../../linux/testing/fake_peer.ts";
import type { Peer } from "../../linux/testing/fake_peer.ts";
import { Deadlines } from "../deadlines.ts";
import type { LookUp } from "../look_up.ts";
import { Resolver } from "../resolve.ts";
import { linuxDialer } from "./dial.ts";
import { reserveOf } from "../../http1/reserve.ts";
import { Server } from "../../http1/server.ts";
import { GET, say, text } from "../../http1/testing/server_fixture.ts";
import { TlsContexts } from "../tls_contexts.ts";
import { socketsIn } from "./transport.ts";

const HOST = "10.0.0.9";

/** A dialer of `hostname` in a loop on `host`, with a manual clock. */
function dialing(host: FakeHost, hostname = HOST, find?: LookUp) {
  const clock = new ManualClock();
  const embedded = host.embeddedLoop();
  const resolver = new Resolver(clock, find);
  const dial = linuxDialer(embedded, { hostname, port: PORT, clock, connectMs: 3_000, resolver });
  return { clock, embedded, dial };
}

async function assertFault(promise: Promise<unknown>, message: string): Promise<void> {
  assertEquals((await assertRejects(() => promise, Fault)).message, message);
}

const FAILURES: readonly (readonly [answer: FakeAnswer, message: string])[] = [
  ["refuse", "connection refused"],
  [-EHOSTUNREACH, "no route to host"],
  [-EMFILE, "something is short on this machine: too many open files"],
];
for (const [answer, message] of FAILURES) {
  Deno.test(`a connect answered by ${answer} is a fault, and leaves nothing open: ${message}`, async () => {
    const host = new FakeHost();
    host.answers.set(endpointName(HOST, PORT), answer);
    const { dial, clock, embedded } = dialing(host);
    await assertFault(dial(), message);
    assertEquals([host.open, clock.pending], [0, 0]);
    await embedded.stop();
  });
}

Deno.test("a connect for which there is no descriptor, or no room to watch it, is a fault of ours", async () => {
  const host = new FakeHost();
  host.answers.set(endpointName(HOST, PORT), "accept");
  const { dial, embedded } = dialing(host);
  host.fdMax = 0;
  await assertFault(dial(), "something is short on this machine: too many open files");
  host.fdMax = 1;
  Object.assign(host, { watch: () => -ENOMEM });
  await assertFault(dial(), "something is short on this machine: out of memory");
  assertEquals(host.open, 0);
  await embedded.stop();
});

Deno.test("a connect without an answer is given up in time, and a late answer has no effect", async () => {
  const host = new FakeHost();
  host.answers.set(endpointName(HOST, PORT), "silence");
  const { dial, clock, embedded } = dialing(host);
  const failed = assertFault(dial(), "no answer to connect");
  await host.untilQuiet();
  await clock.advance(2_999);
  assertEquals(host.open, 1);
  await clock.advance(1);
  await failed;
  assertEquals([host.open, clock.pending], [0, 0]);
  host.upstreams[0]!.accept();
  await host.untilQuiet();
  await embedded.stop();
});

Deno.test("a dial cancelled on its way leaves nothing open, and one cancelled before does not begin", async () => {
  const host = new FakeHost();
  host.answers.set(endpointName(HOST, PORT), "silence");
  const { dial, clock, embedded } = dialing(host);
  const stop = new AbortController();
  const failed = assertFault(dial(stop.signal), "cannot connect: cancelled");
  await host.untilQuiet();
  stop.abort();
  await failed;
  await assertFault(dial(AbortSignal.abort()), "cannot connect: cancelled");
  assertEquals([host.open, host.upstreams.length, clock.pending], [0, 1, 0]);
  await embedded.stop();
});

const ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.0.0.3"] as const;
const found: LookUp = () => Promise.resolve(ADDRESSES);

Deno.test("the addresses of a name are tried in turn, and the first that answers is taken", async () => {
  const host = new FakeHost();
  const answers = ["refuse", -EHOSTUNREACH, "accept"] as const;
  ADDRESSES.forEach((ip, i) => host.answers.set(endpointName(ip, PORT), answers[i]!));
  const { dial, embedded } = dialing(host, "up.test", found);
  const conn = await dial();
  assertEquals(host.upstreams.map(({ address }) => address), [
    endpointName(ADDRESSES[0], PORT),
    endpointName(ADDRESSES[2], PORT),
  ]);
  await conn.write(text.encode("hello"));
  assertEquals(host.upstreams[1]!.read().length, 5);
  const reading = conn.read(new Uint8Array(10));
  await host.untilQuiet();
  host.upstreams[1]!.send(text.encode("hi"));
  assertEquals(await reading, 2);
  conn.close();
  assertEquals(host.open, 0);
  await embedded.stop();
});

Deno.test("an address that refuses gives the reason; one time limit covers all addresses and the look-up", async () => {
  const host = new FakeHost();
  host.answers.set(endpointName(ADDRESSES[2], PORT), -EHOSTUNREACH);
  const { dial, embedded } = dialing(host, "up.test", found);
  await assertFault(dial(), "connection refused");
  await embedded.stop();

  const lookup = Promise.withResolvers<readonly []>();
  let lookups = 0;
  const slow = dialing(new FakeHost(), "up.test", () => {
    lookups++;
    return lookup.promise;
  });
  const failed = [1, 2, 3].map(() => assertFault(slow.dial(), "the name service does not answer"));
  await slow.clock.advance(3_000);
  await Promise.all(failed);
  // A look-up cannot be cancelled and occupies a thread, so all that dial share one.
  assertEquals(lookups, 1);
  lookup.resolve([]);
  await assertFault(slow.dial(), "name does not resolve");
  assertEquals(lookups, 1);
  await slow.clock.advance(1_000);
  await assertFault(slow.dial(), "name does not resolve");
  assertEquals(lookups, 2);
  await slow.embedded.stop();

  const none = dialing(new FakeHost(), "up.test", () => Promise.resolve([]));
  await assertFault(none.dial(), "name does not resolve");
  await none.embedded.stop();
});

Deno.test("while an address does not answer another is tried, and from then on it is tried last", async () => {
  const host = new FakeHost();
  host.answers.set(endpointName(ADDRESSES[0], PORT), "silence");
  host.answers.set(endpointName(ADDRESSES[1], PORT), "accept");
  const { dial, clock, embedded } = dialing(host, "up.test", found);
  const first = dial();
  await host.untilQuiet();
  assertEquals(host.open, 1);
  await clock.advance(250);
  await host.untilQuiet();
  (await first).close();
  assertEquals([host.open, clock.pending], [0, 0]);
  // Connects at once this time.
  const second = dial();
  await host.untilQuiet();
  (await second).close();
  assertEquals(host.upstreams.map(({ address }) => address), [
    endpointName(ADDRESSES[0], PORT),
    endpointName(ADDRESSES[1], PORT),
    endpointName(ADDRESSES[1], PORT),
  ]);
  await embedded.stop();
});

Deno.test("what an upstream sent during the connect is read", async () => {
  const host = new FakeHost();
  host.answers.set(endpointName(HOST, PORT), "silence");
  const { dial, embedded } = dialing(host);
  const dialled = dial();
  const upstream = host.upstreams[0]!;
  upstream.isUp = true;
  upstream.send(text.encode("220 hello"));
  upstream.end();
  const conn = await dialled;
  const room = new Uint8Array(100);
  assertEquals([await conn.read(room), await conn.read(room)], [9, null]);
  conn.close();
  await embedded.stop();
});

/** Sends a request, and returns the end of the response. */
async function ask(host: FakeHost, peer: Peer): Promise<string> {
  peer.send(text.encode(GET));
  await host.untilQuiet();
  return new TextDecoder().decode(peer.read()).slice(-5);
}

Deno.test("without descriptors accepting pauses, reports that, and continues with the clients that waited", async () => {
  const host = new FakeHost();
  const { clock, reported, end } = await listeningOn(host);
  host.fdMax = host.open + 1;
  const clients = [1, 2, 3].map(() => host.client(PORT)!);
  await host.untilQuiet();
  assertEquals(reported, ["too many open files, again in 10 ms"]);
  // The accepted client is served, and a client that connects meanwhile waits like the others.
  assertEquals(await ask(host, clients[0]!), "\r\n\r\n/");
  clients.push(host.client(PORT)!);
  await host.untilQuiet();
  assertEquals(reported.length, 1);
  await clock.advance(10);
  await host.untilQuiet();
  // Tried again without success, which is not reported again.
  assertEquals(reported.length, 1);
  host.fdMax = Infinity;
  await clock.advance(20);
  await host.untilQuiet();
  assertEquals(await ask(host, clients[1]!), "\r\n\r\n/");
  assertEquals(await ask(host, clients[2]!), "\r\n\r\n/");
  assertEquals(await ask(host, clients[3]!), "\r\n\r\n/");
  host.fdMax = host.open;
  host.client(PORT);
  await host.untilQuiet();
  assertEquals(reported.length, 1);
  await clock.advance(10_000);
  await host.untilQuiet();
  assertEquals(reported.length, 2);
  await end();
});

Deno.test("a client that cannot be watched is closed, and those behind it wait until it is closed", async () => {
  const host = new FakeHost();
  const { clock, reported, server, end } = await listeningOn(host);
  const clients = [1, 2, 3].map(() => host.client(PORT)!);
  const { watch } = FakeHost.prototype;
  Object.assign(host, { watch: () => -ENOMEM });
  await host.untilQuiet();
  assertEquals([reported, server.connections], [["out of memory, again in 10 ms"], 0]);
  assertEquals(clients.map(({ weClosed }) => weClosed), [true, false, false]);
  Object.assign(host, { watch });
  await clock.advance(10);
  await host.untilQuiet();
  assertEquals([reported.length, server.connections], [1, 2]);
  assertEquals(await ask(host, clients[1]!), "\r\n\r\n/");
  await end();
});

Deno.test("a port that cannot be watched is not opened", async () => {
  const host = new FakeHost();
  const embedded = host.embeddedLoop();
  const server = new Server({ deadlines: new Deadlines(new ManualClock()), handler: say });
  const address = { kind: "tcp", host: "127.0.0.1", port: PORT } as const;
  const before = host.open;
  Object.assign(host, { watch: () => -ENOMEM });
  const port = await socketsIn(embedded, new TlsContexts()).listen(address, server, {
    clock: new ManualClock(),
  });
  assertEquals([port, host.open], ["out of memory", before]);
  await embedded.stop();
});

Deno.test("a port closed in a pause, or while it has no room, stays closed", async () => {
  for (const limits of [{}, { connectionsMax: 1 }]) {
    const host = new FakeHost();
    const { server, end } = await listeningOn(host, limits);
    if (limits.connectionsMax === undefined) host.fdMax = host.open;
    for (let i = 0; i < 12; i++) host.client(PORT);
    await host.untilQuiet();
    // A few more than the limit are accepted, in order to answer them.
    const most = limits.connectionsMax === undefined ? 0 : 1 + reserveOf(1);
    assertEquals(server.connections, most);
    await end();
    assertEquals(host.client(PORT), undefined);
  }
});

Deno.test("every client of a crowd is answered and nothing stays open, whatever the kernel does", async () => {
  for (const seed of seeds(50)) {
    const dice = new Dice(seed);
    const host = new FakeHost({ dice });
    const { end, clock } = await listeningOn(host, { connectionsMax: 40 });
    const clients = Array.from({ length: 100 }, () => host.client(PORT)!);
    const answered = new Set<Peer>();
    for (let round = 0; answered.size < clients.length; round++) {
      if (round > 100) throw new Error(`seed ${seed}: ${answered.size} were answered`);
      for (const client of clients) {
        if (answered.has(client)) continue;
        if (round === 0) client.send(text.encode(GET));
        if (client.read().length === 0) continue;
        answered.add(client);
        client.end();
      }
      host.fdMax = dice.once(2) ? host.open + dice.under(3) : Infinity;
      await clock.advance(2_000);
      await host.untilQuiet();
    }
    await end();
  }
});

Deno.test("a client that is served at once is never watched, and one that stays is watched once", async () => {
  const host = new FakeHost();
  const { server, end } = await listeningOn(host);
  const watched: number[] = [];
  const { watch } = FakeHost.prototype;
  Object.assign(host, {
    watch(fd: number, mark: number) {
      watched.push(fd);
      return watch.call(host, fd, mark);
    },
  });
  const brief = host.client(PORT)!;
  brief.send(text.encode("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
  await host.untilQuiet();
  assertEquals([watched, brief.weClosed, server.connections], [[], true, 0]);
  const silent = host.client(PORT)!;
  const eager = host.client(PORT)!;
  eager.send(text.encode(GET));
  await host.untilQuiet();
  assertEquals([watched.length, server.connections], [2, 2]);
  // Whatever arrives later is noticed.
  for (const client of [silent, eager, silent]) assertEquals(await ask(host, client), "\r\n\r\n/");
  eager.end();
  await host.untilQuiet();
  assertEquals([watched.length, server.connections], [2, 1]);
  await end();
});

Deno.test("a client that takes its response slowly is watched from then on", async () => {
  const host = new FakeHost({ bufferBytes: 16 });
  const { end } = await listeningOn(host);
  const slow = host.client(PORT)!;
  let answer = "";
  for (const part of ["GET / HTTP/1.1\r", "\nHost: a\r\n\r\n"]) {
    slow.send(text.encode(part));
    await host.untilQuiet();
  }
  for (let part = slow.read(); part.length > 0; part = slow.read()) {
    answer += new TextDecoder().decode(part);
    await host.untilQuiet();
  }
  assertEquals(answer.slice(-5), "\r\n\r\n/");
  await end();
});
