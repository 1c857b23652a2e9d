import { assertEquals } from "@std/assert";
import type { ProbeResult } from "./ports.ts";
import { forgetStandbys, learnRole, publishBars } from "./role_watch.ts";
import type { ServerReport } from "./server_report.ts";
import type { State } from "./state.ts";
import { StepContext } from "./step_context.ts";
import { POLICY } from "./testing/policy.ts";
import { serving, stateOf } from "./testing/states.ts";

const RULES = { ...POLICY, roles: { maxLag: undefined, promotedBy: "us" } } as const;
// `b` serves.
const SERVING: State = { ...stateOf(serving({ is: "ran" })), lastChosen: "b" };

function answer(role: ServerReport["role"], more: Partial<ProbeResult> = {}): ProbeResult {
  const server = { role, phase: "running" } as const;
  return { passed: true, tookMs: 1, reason: role, evidence: "passed", server, ...more };
}

/** Learns these answers in order, and keeps each as the last one. */
function learn(
  ...answers: readonly (readonly [string, ProbeResult])[]
): { context: StepContext; last: ProbeResult } {
  const context = new StepContext(SERVING, 10, RULES);
  let last: ProbeResult;
  for (const [name, result] of answers) {
    last = learnRole(context, name, result);
    const server = last.server ?? context.health(name).server;
    context.setHealth(name, { ...context.health(name), level: 4, last, server });
  }
  return { context, last: last! };
}

function effectsOf({ effects }: StepContext): string[] {
  return effects.map((effect) =>
    effect.do === "publish"
      ? effect.event.type
      : "upstream" in effect
      ? `${effect.do} ${effect.upstream}`
      : effect.do
  );
}

Deno.test("an answer without a role is left as it is", () => {
  const result: ProbeResult = { passed: true, tookMs: 1, reason: "ok", evidence: "passed" };
  const { context, last } = learn(["a", result]);
  assertEquals([last, context.effects.length, context.state.standbys.size], [result, 0, 0]);
});

Deno.test("a standby that becomes a primary makes the active one be asked, whose answer shows whether both are", () => {
  const first = learn(["b", answer("primary")], ["a", answer("standby")], ["a", answer("primary")]);
  assertEquals(first.context.state.standbys, new Map([["a", "promoted"]]));
  assertEquals(
    effectsOf(first.context),
    ["server.roleChanged", "server.roleChanged", "server.roleChanged", "probe b"],
  );
  const promoted = [
    ["b", answer("primary")],
    ["a", answer("standby")],
    ["a", answer("primary")],
  ] as const;
  const late = learn(...promoted, ["b", answer("primary", { overtaken: true })]);
  assertEquals(late.context.state.standbys, new Map([["a", "promoted"]]));
  const both = learn(...promoted, ["b", answer("primary")]);
  assertEquals(both.context.state.standbys, new Map([["a", "rival"]]));
});

Deno.test("the active server fails its check as a standby, and one answer is enough if another is the primary", () => {
  const alone = learn(["b", answer("primary")], ["b", answer("standby")]).last;
  assertEquals([alone.passed, alone.evidence, alone.reason, alone.isDecisive], [
    false,
    "denied",
    "it is a standby now",
    undefined,
  ]);
  const { last } = learn(
    ["b", answer("primary")],
    ["a", answer("standby")],
    ["a", answer("primary")],
    ["b", answer("standby")],
  );
  assertEquals([last.reason, last.isDecisive], [
    "it is a standby now, and a is the primary",
    true,
  ]);
});

Deno.test("an unknown role is published once for each reason, without regard to numbers in it", () => {
  const unknown = (reason: string) =>
    answer("unknown", { server: { role: "unknown", phase: "running", reason } });
  const { context } = learn(
    ["a", unknown("100 connections are in use")],
    ["a", unknown("99 connections are in use")],
    ["a", unknown("password refused")],
  );
  assertEquals(effectsOf(context), ["server.roleUnknown", "server.roleUnknown"]);
});

Deno.test("a choice forgets the standbys of the choice before, and what is barred is published when it changes", () => {
  const { context } = learn(["b", answer("primary")], ["a", answer("standby")]);
  context.effects.length = 0;
  forgetStandbys(context, { ...SERVING, lastChosen: "a" });
  assertEquals([context.state.standbys.size, effectsOf(context)], [0, []]);
  forgetStandbys(context, { ...SERVING, lastChosen: undefined });
  assertEquals(context.state.standbys, new Map([["a", "standby"]]));
  const stale = learn(["b", answer("primary")], ["a", answer("primary")]).context;
  stale.effects.length = 0;
  publishBars(stale);
  publishBars(stale);
  assertEquals([effectsOf(stale), stale.state.barred], [
    ["upstream.barred"],
    new Map([["a", "stale"]]),
  ]);
  stale.effects.length = 0;
  const allowed = learnRole(stale, "a", answer("standby"));
  stale.setHealth("a", { ...stale.health("a"), last: allowed, server: allowed.server });
  publishBars(stale);
  assertEquals(effectsOf(stale), ["server.roleChanged", "upstream.allowed"]);
});

Deno.test("a standby that does not answer while the active one goes on must be seen as a standby again", () => {
  const gone: ProbeResult = { passed: false, tookMs: 1, reason: "refused", evidence: "refused" };
  const { context } = learn(
    ["b", answer("primary")],
    ["a", answer("standby")],
    ["a", gone],
    ["b", answer("primary")],
  );
  assertEquals(context.state.standbys, new Map());
  learnRole(context, "a", answer("primary"));
  assertEquals(context.state.standbys, new Map());
  learnRole(context, "a", answer("standby"));
  assertEquals(context.state.standbys, new Map([["a", "standby"]]));
});

Deno.test("a server that starts keeps its last role, and after a restart only present standbys count", () => {
  const starting = answer("unknown", { server: { role: "unknown", phase: "starting" } });
  const { context, last } = learn(["a", answer("standby")], ["a", starting]);
  assertEquals(last.server, { role: "standby", phase: "starting" });
  const before = context.state;
  context.set({ lastServed: { to: "b", promotion: undefined, since: 1 } });
  forgetStandbys(context, before);
  assertEquals(context.state.standbys, new Map());
});
