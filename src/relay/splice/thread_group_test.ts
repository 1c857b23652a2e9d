/** Workers that die, with real threads and sockets: which sessions are lost, and that service continues. */
import { assert, assertEquals } from "@std/assert";
import { ManualClock, realClock, sleep } from "../../base/clock.ts";
import {
  echoes,
  encode,
  readText,
  TestUpstream,
  until,
  World,
  writeAll,
} from "../testing/world.ts";
import { spliceAlone } from "./testing/alone.ts";

const ignore = Deno.build.os !== "linux";
const FAULTY = new URL("./testing/faulty_thread.ts", import.meta.url);

const faulty = spliceAlone({ script: FAULTY, hangCpuMs: 20 });

/** What a connection ends with. */
async function endOf(conn: Deno.Conn): Promise<string> {
  try {
    return await conn.read(new Uint8Array(10)) === null ? "end" : "bytes";
  } catch (error) {
    return error instanceof Deno.errors.ConnectionReset ? "reset" : String(error);
  }
}

async function echo(conn: Deno.Conn, text: string): Promise<string> {
  await writeAll(conn, encode(text));
  return await readText(conn, text.length);
}

function openDescriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

Deno.test({
  name: "a bug in one session ends that session by a reset, and no other",
  ignore,
  async fn() {
    await using upstream = new TestUpstream("a", echoes);
    await using world = await World.start(faulty);
    await world.relay.open(upstream.upstream, 1);
    await world.event("port.opened");
    using session = await world.connect();
    assertEquals(await echo(session, "one"), "one");
    for (let bug = 1; bug <= 3; bug++) {
      using fatal = await world.connect();
      assertEquals(await echo(fatal, "hello"), "hello");
      await writeAll(fatal, encode("throw"));
      assertEquals(await endOf(fatal), "reset");
      await world.counters("it is cut", (c) => c.cut === bug && c.active === 1);
    }
    // The same bug is reported once.
    const reported = world.all("proxy.faulted").map(({ reason }) => reason);
    assertEquals(reported.length, 1);
    assert(/a bug in one session, made by a test/.test(reported[0]!), reported[0]);
    assertEquals(world.all("worker.died"), []);
    assertEquals(await echo(session, "two"), "two");
    await until("the upstream has one session", () => upstream.conns.length === 4);
  },
});

Deno.test({
  name:
    "a worker that throws loses its sessions; clients that connect meanwhile wait and are served",
  ignore,
  async fn() {
    const clock = new ManualClock();
    await using upstream = new TestUpstream("a", echoes);
    await using world = await World.start(faulty, {}, clock);
    await world.relay.open(upstream.upstream, 1);
    await world.event("port.opened");
    using session = await world.connect();
    assertEquals(await echo(session, "one"), "one");
    using fatal = await world.connect();
    await writeAll(fatal, encode("die"));
    const died = await world.event("worker.died");
    assert(/a bug, made by a test/.test(died.reason), died.reason);
    assertEquals([died.worker, died.sessions, died.retryInMs], [1, 2, 250]);
    // Sessions end, not silently. The port is open, and new clients wait in its queue.
    assertEquals(await endOf(session), "end");
    using waiting = await world.connect();
    assertEquals(world.all("port.closed"), []);
    await clock.advance(250);
    assertEquals(await echo(waiting, "two"), "two");
    assertEquals(world.relay.counters().cut, 2);
    await until("the upstream saw the ends", () => upstream.conns.length === 3);
  },
});

Deno.test({
  name: "of several workers one dies, and the sessions of the others continue",
  ignore,
  async fn() {
    await using upstream = new TestUpstream("a", echoes);
    await using world = await World.start(faulty, { workers: 3 });
    await world.relay.open(upstream.upstream, 1);
    await world.event("port.opened");
    const sessions = await Promise.all(Array.from({ length: 30 }, () => world.connect()));
    for (const session of sessions) assertEquals(await echo(session, "one"), "one");
    await writeAll(sessions[0]!, encode("die"));
    const { sessions: lost } = await world.event("worker.died");
    await world.counters("its sessions are cut", (c) => c.active === 30 - lost);
    let served = 0;
    for (const session of sessions.slice(1)) {
      served += await echo(session, "two").then((text) => text === "two" ? 1 : 0, () => 0);
    }
    assertEquals(served, 30 - lost);
    // New clients are served by all three workers: those in the queue of the dead one as soon as it is back.
    const later = await Promise.all(Array.from({ length: 30 }, () => world.connect()));
    for (const session of later) assertEquals(await echo(session, "three"), "three");
    for (const session of [...sessions, ...later]) session.close();
  },
});

Deno.test({
  name: "a worker that stands still is ended and replaced, and its clients are reset",
  ignore,
  async fn() {
    const clock = new ManualClock();
    await using upstream = new TestUpstream("a", echoes);
    await using world = await World.start(faulty, {}, clock);
    await world.relay.open(upstream.upstream, 1);
    await world.event("port.opened");
    using fatal = await world.connect();
    await world.counters("the client is in", (c) => c.active === 1);
    await writeAll(fatal, encode("spin"));
    assertEquals(await readText(fatal, 8), "so be it");
    // By this clock it soon stands still for long, but only the CPU time that it uses counts.
    for (let looks = 0; world.all("worker.died").length === 0 && looks < 20_000; looks++) {
      await clock.advance(2_000);
      await sleep(realClock, 1);
    }
    const died = await world.event("worker.died");
    assert(/hangs/.test(died.reason), died.reason);
    assertEquals(await endOf(fatal), "end");
    using waiting = await world.connect();
    await clock.advance(250);
    assertEquals(await echo(waiting, "two"), "two");
  },
});

Deno.test({
  name: "while a worker is dead the port is closed by a refusal, and opened again by the next",
  ignore,
  async fn() {
    const clock = new ManualClock();
    await using upstream = new TestUpstream("a", echoes);
    const place = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const bind = { kind: "tcp", host: "127.0.0.1", port: place.addr.port } as const;
    place.close();
    await using world = await World.start(faulty, { bind }, clock);
    await world.relay.open(upstream.upstream, 1);
    await world.event("port.opened");
    using fatal = await world.connect();
    await writeAll(fatal, encode("die"));
    await world.event("worker.died");
    await world.relay.refuse();
    const refused = await world.connect().catch((error) => error);
    assert(refused instanceof Deno.errors.ConnectionRefused);
    await world.relay.open(upstream.upstream, 2);
    await clock.advance(250);
    await world.event("port.opened", 2);
    using session = await world.connect();
    assertEquals(await echo(session, "two"), "two");
  },
});

Deno.test({
  name: "workers that die again and again leave nothing open, and a stop meanwhile ends at once",
  ignore,
  async fn() {
    const clock = new ManualClock();
    await using upstream = new TestUpstream("a", echoes);
    await using world = await World.start(faulty, {}, clock);
    await world.relay.open(upstream.upstream, 1);
    await world.event("port.opened");
    const counts: number[] = [];
    for (let death = 1; death <= 4; death++) {
      using fatal = await world.connect();
      await writeAll(fatal, encode("die"));
      await world.event("worker.died", death);
      await endOf(fatal);
      counts.push(openDescriptors());
      if (death < 4) await clock.advance(10_000);
    }
    await until("the upstream's side is closed", () => openDescriptors() <= counts[0]!);
    const late = await world.connect();
    assertEquals(await world.relay.stop(1_000, new AbortController().signal), 0);
    await world.relay.finished;
    assertEquals(await endOf(late), "reset");
    late.close();
  },
});
