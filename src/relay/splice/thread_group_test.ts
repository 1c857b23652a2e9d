/** Workers that die, with real threads and sockets: which sessions are cut, and that the service continues. */
import { assert, assertEquals } from "@std/assert";
import { unusedPort } from "../../base/testing/ports.ts";
import { ManualClock } from "../../base/clock.ts";
import {
  echoes,
  encode,
  readText,
  RelayFixture,
  TestUpstream,
  until,
  writeAll,
} from "../testing/relay_fixture.ts";
import { untilRefused } from "../../net/testing/refused.ts";
import { spliceAlone } from "./testing/alone.ts";
import type { RelaySettings } from "../engine.ts";

const ignore = Deno.build.os !== "linux";
const FAULTY = new URL("./testing/faulty_thread.ts", import.meta.url);

const faulty = spliceAlone({ script: FAULTY, hangCpuMs: 20 });

/** How a connection ends for its reader. */
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

/** Lets the watchdog check the threads each millisecond, until the returned function is called. */
function checkAgainAndAgain(clock: ManualClock): () => void {
  const timer = setInterval(() => clock.advance(2_000), 1);
  return () => clearInterval(timer);
}

/** A relay with faulty threads before this upstream; its port is open. */
async function openBefore(
  upstream: TestUpstream,
  settings: Partial<RelaySettings> = {},
  clock?: ManualClock,
): Promise<RelayFixture> {
  const fixture = await RelayFixture.start(faulty, settings, clock);
  await fixture.relay.open(upstream.upstream, 1);
  await fixture.event("port.opened");
  return fixture;
}

Deno.test({
  name: "a bug in one session ends only that session, by a reset",
  ignore,
  async fn() {
    await using upstream = new TestUpstream("a", echoes);
    await using fixture = await openBefore(upstream);
    using session = await fixture.connect();
    assertEquals(await echo(session, "one"), "one");
    for (let bug = 1; bug <= 3; bug++) {
      using fatal = await fixture.connect();
      assertEquals(await echo(fatal, "hello"), "hello");
      await writeAll(fatal, encode("throw"));
      assertEquals(await endOf(fatal), "reset");
      await fixture.counters("it is cut", (c) => c.cut === bug && c.active === 1);
    }
    // The same bug is reported once.
    await fixture.event("proxy.faulted");
    const reported = fixture.all("proxy.faulted").map(({ reason }) => reason);
    assertEquals(reported.length, 1);
    assert(/a bug in one session, made by a test/.test(reported[0]!), reported[0]);
    assertEquals(fixture.all("worker.died"), []);
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
    await using fixture = await openBefore(upstream, {}, clock);
    using session = await fixture.connect();
    assertEquals(await echo(session, "one"), "one");
    using fatal = await fixture.connect();
    await writeAll(fatal, encode("die"));
    const died = await fixture.event("worker.died");
    assert(/a bug, made by a test/.test(died.reason), died.reason);
    assertEquals([died.worker, died.sessions, died.retryInMs], [1, 2, 250]);
    // The sessions have ended. The port is still open, and new clients wait in its queue.
    assertEquals(await endOf(session), "end");
    using waiting = await fixture.connect();
    assertEquals(fixture.all("port.closed"), []);
    await clock.advance(250);
    assertEquals(await echo(waiting, "two"), "two");
    assertEquals(fixture.relay.counters().cut, 2);
    await until("the upstream saw the ends", () => upstream.conns.length === 3);
  },
});

Deno.test({
  name: "of several workers one dies, and the sessions of the others continue",
  ignore,
  async fn() {
    await using upstream = new TestUpstream("a", echoes);
    await using fixture = await openBefore(upstream, { workers: 3 });
    const sessions = await Promise.all(Array.from({ length: 30 }, () => fixture.connect()));
    for (const session of sessions) assertEquals(await echo(session, "one"), "one");
    await writeAll(sessions[0]!, encode("die"));
    const { sessions: lost } = await fixture.event("worker.died");
    await fixture.counters("its sessions are cut", (c) => c.active === 30 - lost);
    let served = 0;
    for (const session of sessions.slice(1)) {
      served += await echo(session, "two").then((text) => text === "two" ? 1 : 0, () => 0);
    }
    assertEquals(served, 30 - lost);
    // New clients are served by all three workers: those in the queue of the dead one as soon as it is back.
    const later = await Promise.all(Array.from({ length: 30 }, () => fixture.connect()));
    for (const session of later) assertEquals(await echo(session, "three"), "three");
    for (const session of [...sessions, ...later]) session.close();
  },
});

Deno.test({
  name: "a worker that hangs is ended and replaced, and its sessions end",
  ignore,
  async fn() {
    const clock = new ManualClock();
    await using upstream = new TestUpstream("a", echoes);
    await using fixture = await openBefore(upstream, {}, clock);
    using fatal = await fixture.connect();
    await fixture.counters("the client is in", (c) => c.active === 1);
    await writeAll(fatal, encode("spin"));
    assertEquals(await readText(fatal, 8), "spinning");
    // By the manual clock it hangs for long, but only the CPU time that it uses counts.
    const dying = fixture.event("worker.died");
    const checking = checkAgainAndAgain(clock);
    const died = await dying.finally(checking);
    assert(/hangs/.test(died.reason), died.reason);
    assertEquals(await endOf(fatal), "end");
    using waiting = await fixture.connect();
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
    const bind = { kind: "tcp", host: "127.0.0.1", port: unusedPort() } as const;
    await using fixture = await openBefore(upstream, { bind }, clock);
    using fatal = await fixture.connect();
    await writeAll(fatal, encode("die"));
    await fixture.event("worker.died");
    await fixture.relay.refuse();
    await untilRefused(bind.port);
    await fixture.relay.open(upstream.upstream, 2);
    await clock.advance(250);
    await fixture.event("port.opened", 2);
    using session = await fixture.connect();
    assertEquals(await echo(session, "two"), "two");
  },
});

Deno.test({
  name: "workers that die again and again leave nothing open, and a stop meanwhile ends at once",
  ignore,
  async fn() {
    // In a separate process: in this one other tests open descriptors and close them.
    const { pathname } = new URL("./testing/dying_workers.ts", import.meta.url);
    const args = ["run", "-A", "--quiet", "--no-check", pathname];
    const { code, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
    assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
  },
});
