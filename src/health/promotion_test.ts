import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import type { Event } from "../events/events.ts";
import type { Promotion, TriggerOutcome } from "../failover/ports.ts";
import { PromotionFirst } from "./promotion.ts";
import { PromotionRefused } from "./server_probe.ts";

const PROMOTION: Promotion = {
  ...{ move: "failover", id: "i-4", epoch: 4, from: "a", to: "b", reason: "a is down" },
};

function build(outcomes: TriggerOutcome[] = [], leftMs = () => Infinity) {
  const clock = new ManualClock();
  const events: Event[] = [];
  const calls: string[] = [];
  const asked: { readonly signal: AbortSignal; readonly end: PromiseWithResolvers<void> }[] = [];
  const promote = (upstream: string, signal: AbortSignal) => {
    calls.push(`promote ${upstream}`);
    const end = Promise.withResolvers<void>();
    asked.push({ signal, end });
    return end.promise;
  };
  const publish = (event: Event) => void events.push(event);
  const triggers = new PromotionFirst({ promote, timeoutMs: 5_000, clock, publish, leftMs }, {
    run: ({ to }) => {
      calls.push(`triggers ${to}`);
      return Promise.resolve(outcomes.shift() ?? { how: "ran" });
    },
  });
  const never = new AbortController().signal;
  const run = (promotion = PROMOTION, signal = never) => triggers.run(promotion, signal);
  return { clock, events, calls, asked, run };
}

Deno.test("the server is promoted, and then the triggers run", async () => {
  const { clock, events, calls, asked, run } = build();
  const ran = run();
  await clock.advance(0);
  await clock.advance(1_200);
  assertEquals(calls, ["promote b"]);
  asked[0]!.end.resolve();
  assertEquals(await ran, { how: "ran" });
  assertEquals(calls, ["promote b", "triggers b"]);
  assertEquals(events, [{ type: "server.promoted", upstream: "b", epoch: 4, tookMs: 1_200 }]);
});

Deno.test("triggers that are repeated do not promote again, another promotion does", async () => {
  const { clock, calls, asked, run } = build([{ how: "failed", reason: "exited with 1" }]);
  const first = run();
  await clock.advance(0);
  asked[0]!.end.resolve();
  assertEquals((await first).how, "failed");
  assertEquals((await run()).how, "ran");
  const other = run({ ...PROMOTION, epoch: 5, to: "c" });
  await clock.advance(0);
  asked[1]!.end.resolve();
  await other;
  assertEquals(calls, ["promote b", "triggers b", "triggers b", "promote c", "triggers c"]);
});

Deno.test("at the very first start nobody is promoted", async () => {
  const { calls, run } = build();
  assertEquals(await run({ ...PROMOTION, move: "start" }), { how: "ran" });
  assertEquals(calls, ["triggers b"]);
});

Deno.test("a refusal, another failure and a time-out are told apart, and no trigger runs", async () => {
  const { clock, events, calls, asked, run } = build();
  const reason = (text: string) => `b could not be made the primary: ${text}`;
  const refused = run();
  await clock.advance(0);
  asked[0]!.end.reject(new PromotionRefused("permission denied"));
  assertEquals(await refused, {
    ...{ how: "failed", promotion: "refused" },
    reason: reason("permission denied"),
  });
  const next = { ...PROMOTION, epoch: 5 };
  const lost = run(next);
  await clock.advance(0);
  asked[1]!.end.reject(new Error("connection reset"));
  assertEquals(await lost, {
    ...{ how: "failed", promotion: "unclear" },
    reason: reason("connection reset"),
  });
  // What may have begun is not undone by a later refusal.
  const again = run(next);
  await clock.advance(0);
  asked[2]!.end.reject(new PromotionRefused("permission denied"));
  const { how, ...facts } = await again;
  assertEquals([how, "promotion" in facts && facts.promotion], ["failed", "unclear"]);
  const late = run(next);
  await clock.advance(0);
  await clock.advance(5_000);
  assertEquals(await late, {
    ...{ how: "failed", promotion: "unclear" },
    reason: reason("not done within 5s"),
  });
  assertEquals(asked[3]!.signal.aborted, true);
  assertEquals(calls, Array(4).fill("promote b"));
  assertEquals(events.map(({ type }) => type), Array(4).fill("server.promotionFailed"));
});

Deno.test("an abort ends the promotion, and a second run waits for the first", async () => {
  const { clock, events, calls, asked, run } = build();
  const abort = new AbortController();
  const first = run(PROMOTION, abort.signal);
  const second = run({ ...PROMOTION, epoch: 5, to: "c" });
  await clock.advance(0);
  assertEquals(calls, ["promote b"]);
  abort.abort();
  assertEquals(await first, { how: "cancelled" });
  await clock.advance(0);
  asked[1]!.end.resolve();
  assertEquals(await second, { how: "ran" });
  assertEquals(calls, ["promote b", "promote c", "triggers c"]);
  assertEquals(events.map(({ type }) => type), ["server.promoted"]);
  assertEquals(await run(PROMOTION, AbortSignal.abort()), { how: "cancelled" });
});

Deno.test("a proxy promotes only as long as it leads", async () => {
  let left = 2_000;
  const { clock, asked, calls, run } = build([], () => left);
  const late = run();
  await clock.advance(0);
  await clock.advance(2_000);
  assertEquals((await late).how, "failed");
  assertEquals(asked[0]!.signal.aborted, true);
  left = 0;
  assertEquals(await run({ ...PROMOTION, epoch: 5 }), {
    ...{ how: "failed", promotion: "refused", reason: "this proxy does not lead any more" },
  });
  assertEquals(calls, ["promote b"]);
});
