import { assertEquals, assertRejects } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import type { ServerReport } from "../failover/server_report.ts";
import { NotAlive, PromotionRefused } from "../health/server_probe.ts";
import { KeptProbe, type Protocol, type ServerSession } from "./kept_probe.ts";
import { LoginRefused, NotReady } from "./server.ts";

const PRIMARY: ServerReport = { role: "primary", phase: "running" };
const STANDBY: ServerReport = { role: "standby", phase: "running" };

class FakeSession implements ServerSession {
  onEnd: (reason: string) => void = () => {};
  isOver = false;
  wasClosed = false;
  #pending: ((fault: Fault) => void) | undefined;

  constructor(readonly fixture: Fixture) {}

  ask(): Promise<ServerReport> {
    const next = this.fixture.answers.shift() ?? PRIMARY;
    if (next === "end") {
      this.isOver = true;
      return Promise.reject(new Fault("responseCut"));
    }
    if (next === "silent") return new Promise((_, reject) => this.#pending = reject);
    return next instanceof Error ? Promise.reject(next) : Promise.resolve(next);
  }

  promote(): Promise<void> {
    this.fixture.promoted++;
    return Promise.resolve();
  }

  abort(fault: Fault): void {
    this.isOver = true;
    this.#pending?.(fault);
  }

  close(): Promise<void> {
    this.isOver = true;
    this.wasClosed = true;
    return Promise.resolve();
  }
}

/** A probe with scripted sessions and log-ins. */
class Fixture {
  readonly clock = new ManualClock();
  readonly sessions: FakeSession[] = [];
  /** How log-ins fail, in order; afterwards they succeed. */
  readonly logIns: Error[] = [];
  readonly answers: (ServerReport | Error | "end" | "silent")[] = [];
  readonly ends: string[] = [];
  hasAccount = true;
  promoted = 0;
  knocks = 0;
  readonly probe: KeptProbe;

  constructor(canPromote = true) {
    const protocol: Protocol = {
      canPromote,
      hasAccount: () => this.hasAccount,
      withoutAccount: "no account",
      logIn: () => {
        const error = this.logIns.shift();
        if (error !== undefined) return Promise.reject(error);
        const session = new FakeSession(this);
        this.sessions.push(session);
        return Promise.resolve(session);
      },
      knock: () => {
        this.knocks++;
        return Promise.resolve({ role: "unknown", phase: "running" });
      },
    };
    this.probe = new KeptProbe(protocol, this.clock);
    this.probe.onEnd = (reason) => this.ends.push(reason);
  }

  ask(isDoubted = false, signal = new AbortController().signal): Promise<ServerReport> {
    return this.probe.ask({ signal, isDoubted });
  }
}

Deno.test("questions are asked on one connection", async () => {
  const fixture = new Fixture();
  for (let n = 0; n < 3; n++) assertEquals(await fixture.ask(), PRIMARY);
  assertEquals(fixture.sessions.length, 1);
  await fixture.probe.close();
  assertEquals(fixture.sessions[0]!.wasClosed, true);
  await assertRejects(() => fixture.ask(), Fault);
});

Deno.test("a kept connection that turns out to be dead is replaced within the question", async () => {
  const fixture = new Fixture();
  await fixture.ask();
  fixture.answers.push("end");
  assertEquals(await fixture.ask(), PRIMARY);
  assertEquals(fixture.sessions.length, 2);
  // A new connection that ends as well is evidence.
  fixture.answers.push("end", "end");
  const error = await assertRejects(() => fixture.ask(), NotAlive);
  assertEquals(error.evidence, "denied");
});

Deno.test("a server that ends during a question is told as one that ends between two", async () => {
  const fixture = new Fixture();
  await fixture.ask();
  fixture.answers.push("end");
  fixture.logIns.push(new Fault("connectRefused"));
  await assertRejects(() => fixture.ask(), Fault, "connection refused");
  assertEquals(fixture.ends, ["response was cut short"]);
});

Deno.test("faults of connecting are passed on as they are", async () => {
  const fixture = new Fixture();
  for (const fault of ["connectRefused", "localShortage"] as const) {
    fixture.logIns.push(new Fault(fault));
    assertEquals((await assertRejects(() => fixture.ask(), Fault)).fault, fault);
  }
});

Deno.test("the end of a kept connection is told once in a second", async () => {
  const fixture = new Fixture();
  const end = async (reason: string) => {
    await fixture.ask();
    const session = fixture.sessions.at(-1)!;
    session.isOver = true;
    session.onEnd(reason);
  };
  await end("first");
  await end("too soon");
  await fixture.clock.advance(1_000);
  await end("later");
  assertEquals(fixture.ends, ["first", "later"]);
});

Deno.test("a doubt is answered on a new connection, which replaces the kept one", async () => {
  const fixture = new Fixture();
  await fixture.ask();
  await fixture.ask(true);
  assertEquals(fixture.sessions.map(({ wasClosed }) => wasClosed), [true, false]);
  fixture.logIns.push(new Fault("connectRefused"));
  await assertRejects(() => fixture.ask(true), Fault);
});

Deno.test("a server that does not let us in again tells its role on the kept connection", async () => {
  const fixture = new Fixture();
  await fixture.ask();
  fixture.logIns.push(new LoginRefused("too many connections"));
  assertEquals(await fixture.ask(true), PRIMARY);
  // Within the pause the server only has to take part.
  assertEquals([await fixture.ask(true), fixture.knocks], [PRIMARY, 1]);
  await fixture.clock.advance(1_000);
  fixture.logIns.push(new NotReady("shutting down", "soon"));
  assertEquals((await fixture.ask(true)).phase, "shutting down");
});

Deno.test("a refused log-in is repeated after growing pauses, up to a minute", async () => {
  const fixture = new Fixture();
  const tried: number[] = [];
  for (let second = 0; second < 250; second++) {
    const before = fixture.logIns.push(new LoginRefused("wrong password"));
    const report = await fixture.ask();
    assertEquals(report, { role: "unknown", phase: "running", reason: "wrong password" });
    if (fixture.logIns.length < before) tried.push(second);
    fixture.logIns.length = 0;
    await fixture.clock.advance(1_000);
  }
  assertEquals(tried, [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]);
  await fixture.clock.advance(60_000);
  assertEquals(await fixture.ask(), PRIMARY);
});

Deno.test("without an account the server has to take part, and the report says why its role is unknown", async () => {
  const fixture = new Fixture();
  fixture.hasAccount = false;
  assertEquals(await fixture.ask(), { role: "unknown", phase: "running", reason: "no account" });
  assertEquals([fixture.knocks, fixture.sessions.length], [1, 0]);
});

Deno.test("an abort ends the question under way and those that wait, and the next one is new", async () => {
  const fixture = new Fixture();
  await fixture.ask();
  fixture.answers.push("silent");
  const abort = new AbortController();
  const asked = fixture.ask(false, abort.signal);
  const waiting = fixture.ask(false, abort.signal);
  await fixture.clock.advance(0);
  abort.abort();
  for (const each of [asked, waiting]) await assertRejects(() => each, Fault, "cancelled");
  assertEquals(await fixture.ask(), PRIMARY);
  assertEquals([fixture.sessions.length, fixture.ends], [2, []]);
});

Deno.test("a question that was given up before it began leaves the connection as it is", async () => {
  const fixture = new Fixture();
  await fixture.ask();
  const abort = new AbortController();
  const asked = fixture.ask(false, abort.signal);
  abort.abort();
  await assertRejects(() => asked, Fault, "cancelled");
  await fixture.ask();
  assertEquals(fixture.sessions.length, 1);
});

Deno.test("a promotion is ordered once, and lasts until the server says that it is the primary", async () => {
  const fixture = new Fixture();
  const { signal } = new AbortController();
  await fixture.probe.promote!(signal);
  assertEquals(fixture.promoted, 0);
  fixture.answers.push(STANDBY, STANDBY, STANDBY);
  const promoting = fixture.probe.promote!(signal);
  let isDone = false;
  promoting.then(() => isDone = true);
  for (let n = 0; n < 100 && !isDone; n++) await fixture.clock.advance(50);
  await promoting;
  assertEquals([fixture.promoted, fixture.answers.length], [1, 0]);
  assertEquals(new Fixture(false).probe.promote, undefined);
});

Deno.test("a promotion that has not begun is refused, one that may have is not", async () => {
  const fixture = new Fixture();
  const { signal } = new AbortController();
  fixture.logIns.push(new Fault("connectRefused"));
  await assertRejects(() => fixture.probe.promote!(signal), PromotionRefused, "connection refused");
  fixture.logIns.push(new LoginRefused("wrong password"));
  await assertRejects(() => fixture.probe.promote!(signal), PromotionRefused, "wrong password");
  await fixture.clock.advance(60_000);
  fixture.answers.push(STANDBY, { role: "unknown", phase: "running", reason: "odd" });
  const error = await assertRejects(() => fixture.probe.promote!(signal), Error, "odd");
  assertEquals(error instanceof PromotionRefused, false);
});
