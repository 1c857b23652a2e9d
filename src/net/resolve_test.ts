import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import { Resolver } from "./resolve.ts";

/** A name service whose answers the test gives, one look-up at a time. */
class FakeNameService {
  readonly clock = new ManualClock();
  readonly asked: { readonly host: string; readonly answer: (ips: readonly string[]) => void }[] =
    [];
  readonly resolver = new Resolver(this.clock, (host) => {
    const { promise, resolve } = Promise.withResolvers<readonly string[]>();
    this.asked.push({ host, answer: resolve });
    return promise;
  });

  get hosts(): string[] {
    return this.asked.map(({ host }) => host);
  }

  /** Resolves a name, lets the service answer, and returns the result. */
  async found(host: string, ips: readonly string[]): Promise<readonly string[] | Fault> {
    const asking = this.resolver.resolve(host);
    this.asked.at(-1)!.answer(ips);
    return await asking;
  }
}

/** The value of a promise that has resolved; undefined while it is pending. */
async function valueSoFar<T>(promise: Promise<T>): Promise<T | undefined> {
  const turns = (async () => {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    return undefined;
  })();
  return await Promise.race([promise, turns]);
}

const nameOf = (outcome: unknown) => outcome instanceof Fault ? outcome.fault : outcome;

Deno.test("an address is returned as it is, without a look-up", async () => {
  const { resolver, asked } = new FakeNameService();
  for (const ip of ["10.0.0.1", "::1", "fe80::1%eth0"]) {
    assertEquals(await resolver.resolve(ip), [ip]);
  }
  assertEquals(asked, []);
});

Deno.test("a name is looked up once for all callers, and again after 5 s", async () => {
  const service = new FakeNameService();
  const { resolver, clock, asked } = service;
  const both = [resolver.resolve("db"), resolver.resolve("db")];
  assertEquals(service.hosts, ["db"]);
  asked[0]!.answer(["10.0.0.1"]);
  assertEquals(await Promise.all(both), [["10.0.0.1"], ["10.0.0.1"]]);
  await clock.advance(4_999);
  assertEquals(await resolver.resolve("db"), ["10.0.0.1"]);
  assertEquals(asked.length, 1);
  await clock.advance(1);
  assertEquals(await service.found("db", ["10.0.0.2"]), ["10.0.0.2"]);
  assertEquals(clock.pending, 0);
});

Deno.test("a name that does not exist is a fault for a second; one that was there keeps its address", async () => {
  const service = new FakeNameService();
  const { resolver, clock, asked } = service;
  assertEquals(nameOf(await service.found("db", [])), "nameUnknown");
  assertEquals(nameOf(await resolver.resolve("db")), "nameUnknown");
  assertEquals(asked.length, 1);
  await clock.advance(1_000);
  assertEquals(await service.found("db", ["10.0.0.1"]), ["10.0.0.1"]);
  await clock.advance(5_000);
  assertEquals(await service.found("db", []), ["10.0.0.1"]);
});

Deno.test("while the name service is silent the last address is used, first after a wait, then at once", async () => {
  const service = new FakeNameService();
  const { resolver, clock, asked } = service;
  await service.found("db", ["10.0.0.1"]);
  await clock.advance(5_000);
  const first = resolver.resolve("db");
  assertEquals(await valueSoFar(first), undefined);
  await clock.advance(250);
  assertEquals(await first, ["10.0.0.1"]);
  // Known to be silent now.
  assertEquals(await valueSoFar(resolver.resolve("db")), ["10.0.0.1"]);
  await clock.advance(600_000);
  assertEquals(await valueSoFar(resolver.resolve("db")), ["10.0.0.1"]);
  assertEquals(asked.length, 2);
  asked[1]!.answer(["10.0.0.2"]);
  await clock.advance(0);
  assertEquals(await resolver.resolve("db"), ["10.0.0.2"]);
});

Deno.test("a name service that never answered keeps its callers waiting until their own deadline", async () => {
  const { resolver, clock } = new FakeNameService();
  const asking = resolver.resolve("db");
  await clock.advance(600_000);
  assertEquals(await valueSoFar(asking), undefined);
});

Deno.test("few look-ups run at a time, and silent ones do not keep the others waiting for long", async () => {
  const service = new FakeNameService();
  const { resolver, clock, asked } = service;
  for (let i = 0; i < 40; i++) void resolver.resolve(`silent${i}`);
  const last = resolver.resolve("answers");
  assertEquals(asked.length, 4);
  await clock.advance(2_000);
  assertEquals(asked.length, 8);
  await clock.advance(2_000);
  assertEquals(asked.length, 12);
  // The maximum number of threads for look-ups.
  await clock.advance(60_000);
  assertEquals(asked.length, 12);
  for (let done = 0; done < asked.length; done++) {
    if (asked[done]!.host === "answers") asked[done]!.answer(["10.0.0.9"]);
    else asked[done]!.answer([]);
    await clock.advance(0);
  }
  assertEquals(await last, ["10.0.0.9"]);
});

Deno.test("the address that answered last comes first, those that failed come last", async () => {
  const service = new FakeNameService();
  const { resolver, clock } = service;
  const ips = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
  assertEquals(await service.found("db", ips), ips);
  resolver.failed("db", "10.0.0.1");
  assertEquals(await resolver.resolve("db"), ["10.0.0.2", "10.0.0.3", "10.0.0.1"]);
  resolver.connected("db", "10.0.0.3");
  assertEquals(await resolver.resolve("db"), ["10.0.0.3", "10.0.0.2", "10.0.0.1"]);
  await clock.advance(5_000);
  assertEquals(await service.found("db", ips), ["10.0.0.3", "10.0.0.2", "10.0.0.1"]);
  resolver.failed("db", "10.0.0.3");
  assertEquals(await resolver.resolve("db"), ["10.0.0.2", "10.0.0.1", "10.0.0.3"]);
});

Deno.test("address families alternate, so that a dead one costs one attempt", async () => {
  const service = new FakeNameService();
  assertEquals(
    await service.found("db", ["2001:db8::1", "2001:db8::2", "10.0.0.1"]),
    ["2001:db8::1", "10.0.0.1", "2001:db8::2"],
  );
});

Deno.test("a look-up that throws counts as failed", async () => {
  const resolver = new Resolver(new ManualClock(), () => Promise.reject(new Error("broken")));
  assertInstanceOf(await resolver.resolve("db"), Fault);
});

Deno.test("an address is always answered, since nobody is asked for it", () => {
  const { resolver, asked } = new FakeNameService();
  for (const address of ["127.0.0.1", "::1"]) assert(resolver.isAnswered(address), address);
  assertEquals(asked, []);
});

Deno.test("whether a name is answered is known as long as the answer is valid, and after a doubt for a second", async () => {
  const service = new FakeNameService();
  const { resolver, clock, asked } = service;
  resolver.doubt("db");
  assertEquals(resolver.isAnswered("db"), false);
  await service.found("db", ["10.0.0.1"]);
  assertEquals(resolver.isAnswered("db"), true);
  resolver.doubt("db");
  assertEquals(resolver.isAnswered("db"), true);
  await clock.advance(1_000);
  assertEquals(resolver.isAnswered("db"), false);
  // The service is silent, then says that there is no such name, and then answers.
  const asking = resolver.resolve("db");
  await clock.advance(250);
  assertEquals([await asking, asked.length], [["10.0.0.1"], 2]);
  assertEquals(resolver.isAnswered("db"), false);
  asked.at(-1)!.answer([]);
  await clock.advance(0);
  assertEquals(resolver.isAnswered("db"), false);
  await clock.advance(1_000);
  await service.found("db", ["10.0.0.1"]);
  assertEquals(resolver.isAnswered("db"), true);
});
