import { assertEquals } from "@std/assert";
import { ManualClock, realClock } from "../base/clock.ts";
import { configOf } from "../config/testing/config.ts";
import type { Event } from "../events/events.ts";
import { databasesOf, promotionBy } from "./service_databases.ts";

const NEEDS = {
  ...{ clock: realClock, env: {}, timeoutMs: () => 1_000, onEnd: () => {}, upstreams: () => [] },
};

function tcpConfig(...flags: readonly string[]) {
  const [config] = configOf(["-H", "a:1,b:2", "-p", "5432", ...flags]).services;
  if (config?.mode !== "tcp") throw new Error("no TCP service");
  return config;
}

Deno.test("a service has databases only if its check asks them", async () => {
  assertEquals(await databasesOf(tcpConfig(), NEEDS), undefined);
  await using databases = await databasesOf(tcpConfig("--check=redis"), NEEDS);
  assertEquals(databases === undefined, false);
});

Deno.test("a promotion has the time of --promote-timeout, and triggers run after it", async () => {
  const clock = new ManualClock();
  const events: Event[] = [];
  const calls: string[] = [];
  const databases = {
    probe: () => Promise.reject(new Error("not asked")),
    promote: (name: string) => {
      calls.push(`promote ${name}`);
      return name === "a:1" ? Promise.resolve() : new Promise<void>(() => {});
    },
    keepOnly: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const config = tcpConfig("--check=redis", "--promote", "--promote-timeout=3s");
  const publish = (event: Event) => void events.push(event);
  const triggers = promotionBy(databases, config, { clock, publish })({
    run: ({ to }) => {
      calls.push(`triggers ${to}`);
      return Promise.resolve({ how: "ran" });
    },
  }, () => Infinity);
  const never = new AbortController().signal;
  const promotion = { move: "failover", id: "i", from: undefined, reason: "" } as const;
  assertEquals(await triggers.run({ ...promotion, epoch: 2, to: "a:1" }, never), { how: "ran" });
  const late = triggers.run({ ...promotion, epoch: 3, to: "b:2" }, never);
  await clock.advance(0);
  await clock.advance(3_000);
  assertEquals((await late).how, "failed");
  assertEquals(calls, ["promote a:1", "triggers a:1", "promote b:2"]);
  assertEquals(events.map(({ type }) => type), ["server.promoted", "server.promotionFailed"]);
});
