import { assert, assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import type { Event } from "../events/events.ts";
import type { Service, ServiceContext, Starter } from "./service.ts";
import { Supervisor } from "./supervisor.ts";

/** A service that ends when the test ends it. */
class FakeService {
  readonly end = Promise.withResolvers<void>();
  stops = 0;
  resumed = 0;

  readonly service = {
    view: { name: "web", mode: "tcp", policy: {}, counters: () => ({ accepted: 1 }) },
    finished: this.end.promise,
    busyWith: () => "a drill is under way",
    suspend: () => Promise.resolve({ epoch: 3 }),
    resume: () => this.resumed++,
    stop: () => Promise.resolve(++this.stops),
  } as unknown as Service;
}

/** What a supervisor needs, with a starter whose n-th start gives the n-th of `results`. */
function fixtureOf(...results: (FakeService | string | Error)[]) {
  const clock = new ManualClock();
  const events: Event[] = [];
  const instances: string[] = [];
  const starter = {
    start: (context: ServiceContext) => {
      instances.push(context.instance);
      const result = results.shift()!;
      if (result instanceof Error) return Promise.reject(result);
      return Promise.resolve(typeof result === "string" ? result : result.service);
    },
  } as unknown as Starter;
  const publish = (event: Event) => void events.push(event);
  const context = { clock, publish, instance: "i" } as unknown as ServiceContext;
  return { clock, events, instances, start: () => Supervisor.start(starter, context) };
}

async function startIn(fixture: ReturnType<typeof fixtureOf>): Promise<Supervisor> {
  const started = await fixture.start();
  assert(started instanceof Supervisor);
  return started;
}

Deno.test("Supervisor restarts a service that died, after a longer pause each time", async () => {
  const [first, second, third] = [new FakeService(), new FakeService(), new FakeService()];
  const fixture = fixtureOf(first, second, third);
  const supervisor = await startIn(fixture);
  first.end.reject(new Error("boom"));
  await fixture.clock.advance(0);
  await fixture.clock.advance(999);
  assertEquals([first.stops, fixture.instances.length], [1, 1]);
  await fixture.clock.advance(1);
  assertEquals(fixture.instances, ["i", "i.1"]);
  second.end.resolve();
  await fixture.clock.advance(0);
  await fixture.clock.advance(2_000);
  assertEquals(fixture.instances, ["i", "i.1", "i.2"]);
  assertEquals(
    fixture.events.map((event) => event.type === "service.died" ? event.retryInMs : 0),
    [1_000, 2_000],
  );
  assertEquals(await supervisor.stop(0, new AbortController().signal), 1);
  assertEquals(third.stops, 1);
});

Deno.test("Supervisor continues to try when a restart fails or throws", async () => {
  const [first, last] = [new FakeService(), new FakeService()];
  const fixture = fixtureOf(first, "address in use", new Error("no memory"), last);
  await startIn(fixture);
  first.end.reject(new Error("boom"));
  await fixture.clock.advance(0);
  for (const ms of [1_000, 2_000, 4_000]) await fixture.clock.advance(ms);
  assertEquals(fixture.instances.length, 4);
  const reasons = fixture.events.map((event) => event.type === "service.died" && event.reason);
  assertEquals(String(reasons[1]), "address in use");
  assert(/no memory/.test(String(reasons[2])));
});

Deno.test("Supervisor is stopped at once while it waits to start again", async () => {
  const first = new FakeService();
  const fixture = fixtureOf(first);
  const supervisor = await startIn(fixture);
  first.end.reject(new Error("boom"));
  await fixture.clock.advance(10);
  assertEquals(await supervisor.stop(0, new AbortController().signal), 0);
  await fixture.clock.advance(120_000);
  assertEquals(fixture.instances.length, 1);
});

Deno.test("Supervisor forgets earlier deaths of a service that ran for a long time", async () => {
  const [first, second, third] = [new FakeService(), new FakeService(), new FakeService()];
  const fixture = fixtureOf(first, second, third);
  await startIn(fixture);
  first.end.reject(new Error("boom"));
  await fixture.clock.advance(0);
  await fixture.clock.advance(1_000);
  await fixture.clock.advance(11 * 60_000);
  second.end.reject(new Error("boom"));
  await fixture.clock.advance(0);
  await fixture.clock.advance(1_000);
  assertEquals(fixture.instances.length, 3);
});

Deno.test("a service that dies while another process takes over is restarted only if that one does not", async () => {
  const [first, second] = [new FakeService(), new FakeService()];
  const fixture = fixtureOf(first, second);
  const supervisor = await startIn(fixture);
  assertEquals(await supervisor.suspend() as unknown, { epoch: 3 });
  first.end.reject(new Error("boom"));
  await fixture.clock.advance(0);
  await fixture.clock.advance(60_000);
  assertEquals(fixture.instances, ["i"]);
  assertEquals(await supervisor.suspend(), "it is being restarted");
  assertEquals(supervisor.busyWith(), "it is being restarted");
  supervisor.resume();
  await fixture.clock.advance(0);
  assertEquals(fixture.instances, ["i", "i.1"]);
  assertEquals(supervisor.busyWith(), "a drill is under way");
  assertEquals(await supervisor.suspend() as unknown, { epoch: 3 });
  supervisor.resume();
  assertEquals([first.resumed, second.resumed], [0, 1]);
});

Deno.test("a service without a way to be left is stopped when another process has taken over", async () => {
  const [first, second] = [new FakeService(), new FakeService()];
  const left: unknown[] = [];
  const goOn = () => {};
  Object.assign(second.service, {
    leave: (...given: unknown[]) => Promise.resolve(left.push(given[1])),
    listeners: () => [],
    receive: () => goOn,
  });
  const now = AbortSignal.abort();
  const passOn = () => Promise.resolve(true);
  const stopped = await startIn(fixtureOf(first));
  const parcel = { kind: "k", content: new Uint8Array(), descriptors: [] };
  assertEquals([stopped.listeners(), stopped.receive(parcel)], [[], undefined]);
  assertEquals([await stopped.leave(passOn, 7, now), first.stops], [1, 1]);
  const passed = await startIn(fixtureOf(second));
  assertEquals(passed.receive(parcel), goOn);
  assertEquals([await passed.leave(passOn, 7, now), second.stops, left], [1, 0, [7]]);
});

Deno.test("a service that is started again after a reload gets the new options", async () => {
  const [first, second] = [new FakeService(), new FakeService()];
  const fixture = fixtureOf(first);
  const supervisor = await startIn(fixture);
  const applied: string[] = [];
  Object.assign(first.service, {
    prepare: () =>
      Promise.resolve({
        changedFiles: ["error_page"],
        apply: () => Promise.resolve(void applied.push("apply")),
        undo: () => Promise.resolve(void applied.push("undo")),
      }),
  });
  const instances: string[] = [];
  const starter = {
    start: ({ drainMs }: ServiceContext) => {
      instances.push(`started with ${drainMs}`);
      return Promise.resolve(second.service);
    },
  } as unknown as Starter;
  const change = { drainMs: 7 } as unknown as Parameters<Supervisor["prepare"]>[1];
  const prepared = await supervisor.prepare(starter, change);
  assert(!(prepared instanceof Array) && "apply" in prepared);
  assertEquals(prepared.changedFiles, ["error_page"]);
  await prepared.apply();
  await prepared.undo();
  await prepared.apply();
  assertEquals(applied, ["apply", "undo", "apply"]);
  first.end.reject(new Error("boom"));
  await fixture.clock.advance(0);
  await fixture.clock.advance(1_000);
  assertEquals(instances, ["started with 7"]);
  await supervisor.stop(0, AbortSignal.abort());
});

Deno.test("a service that another process is about to take over is not changed", async () => {
  const first = new FakeService();
  const supervisor = await startIn(fixtureOf(first));
  await supervisor.suspend();
  const lines = await supervisor.prepare({} as Starter, {} as Parameters<Supervisor["prepare"]>[1]);
  assertEquals(lines, ["Cannot reload now: another process is taking over"]);
  await supervisor.stop(0, AbortSignal.abort());
});
