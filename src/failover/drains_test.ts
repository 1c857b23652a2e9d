/** Which orders end sessions, and which cancel such an order. */
import { assertEquals } from "@std/assert";
import { drainDown, drainLeft, drainReplaced, spare } from "./drains.ts";
import { unknownHealth } from "./health.ts";
import type { ProbeResult } from "./ports.ts";
import { StepContext } from "./step_context.ts";
import { POLICY } from "./testing/policy.ts";
import { START } from "./testing/states.ts";

const failed = (evidence: ProbeResult["evidence"]): ProbeResult => ({
  passed: false,
  tookMs: 1,
  reason: evidence,
  evidence,
});

/** A step at 100 ms in which upstream a is down since 40 ms. */
function down(policy = POLICY, evidence: ProbeResult["evidence"] = "refused"): StepContext {
  const health = new Map(START.health).set("a", {
    ...unknownHealth(5),
    level: 0,
    failingSince: 40,
    last: failed(evidence),
  });
  return new StepContext({ ...START, health }, 100, policy);
}

const orders = ({ effects }: StepContext) =>
  effects.map((effect) =>
    effect.do === "drain"
      ? [effect.order.upstream, effect.order.throughEpoch, effect.order.revocable]
      : [effect.do]
  );

Deno.test("a refused connection ends all sessions, a timeout spares those that transfer bytes until it is confirmed", () => {
  const refused = down();
  drainDown(refused, "a", failed("refused"), true, 3);
  assertEquals([orders(refused), refused.state.drains.size], [[["a", 3, false]], 0]);
  const silent = down();
  drainDown(silent, "a", failed("silent"), true, 3);
  assertEquals(silent.state.drains.get("a"), { why: "soft", throughEpoch: 3 });
  drainDown(silent, "a", failed("silent"), false, 3); // nothing new
  drainDown(silent, "a", failed("refused"), false, 9); // the sessions of the first order
  assertEquals(orders(silent), [["a", 3, true], ["a", 3, false]]);
  assertEquals(silent.state.drains.size, 0);
});

Deno.test("no session is ended if the policy keeps sessions, before the first epoch, or while the upstream is up", () => {
  const kept = down({ ...POLICY, sessionsOnDown: "keep" });
  drainDown(kept, "a", failed("refused"), true, 3);
  const first = down();
  drainDown(first, "a", failed("refused"), true, 0);
  const up = new StepContext(START, 100, POLICY);
  drainDown(up, "a", failed("refused"), true, 3);
  assertEquals([kept, first, up].map(({ effects }) => effects.length), [0, 0, 0]);
});

Deno.test("where checks know the role, all sessions on the server that is replaced end, also those that move bytes", () => {
  const roles = { maxLag: undefined, promotedBy: "us" } as const;
  const to = { from: "a", to: "b", epoch: 4 };
  const context = down({ ...POLICY, roles }, "silent");
  drainDown(context, "a", failed("silent"), true, 3);
  drainReplaced(context, to, "a move");
  assertEquals(orders(context), [["a", 3, true], ["a", 3, false]]);
  assertEquals(context.state.drains.size, 0);
  const last = context.effects.at(-1)!;
  assertEquals(last.do === "drain" && last.order.sparedIfMovedMs, undefined);
  const kept = down({ ...POLICY, roles, sessionsOnDown: "keep" }, "silent");
  drainReplaced(kept, to, "a move");
  const none = down(POLICY, "silent");
  drainReplaced(none, to, "a move");
  const dead = down({ ...POLICY, roles });
  drainReplaced(dead, to, "a move");
  const same = down({ ...POLICY, roles }, "silent");
  drainReplaced(same, { ...to, to: "a" }, "a move");
  drainReplaced(same, { ...to, from: undefined }, "a move");
  assertEquals([kept, none, dead, same].map(({ effects }) => effects.length), [0, 0, 0, 0]);
});

Deno.test("a drain is cancelled for its own reason only, or for any", () => {
  const context = down();
  drainLeft(context, "a", 2, 500, "a move");
  spare(context, "a", "soft");
  assertEquals(orders(context), [["a", 2, true]]);
  spare(context, "a");
  spare(context, "a"); // there is none any more
  assertEquals(orders(context), [["a", 2, true], ["spare"]]);
});
