/** The drills of one service: one at a time, with real triggers, and with no effect on a decision. */
import { assertEquals, assertMatch } from "@std/assert";
import type { DrillFindings } from "../admin/view.ts";
import { ManualClock, realClock } from "../base/clock.ts";
import { configOf } from "../config/testing/config.ts";
import type { Event } from "../events/events.ts";
import type { Probe } from "../failover/ports.ts";
import type { State } from "../failover/state.ts";
import { POLICY } from "../failover/testing/policy.ts";
import { PASSED, REFUSED } from "../failover/testing/results.ts";
import { serving, START, stateOf } from "../failover/testing/states.ts";
import { findTriggers } from "../hooks/find.ts";
import { Programs } from "../hooks/program.ts";
import { ProgramFolder } from "../hooks/testing/program.ts";
import { Drills, NO_PROGRAMS } from "./drills.ts";

const ORDER = { by: "ann", reason: "a rehearsal" };

/** The drills of a service in which `b` serves; its standby `a` answers by `probe`. */
function fixtureOf(onFailover?: string, probe: Probe = () => Promise.resolve(PASSED)) {
  const args = ["-b", "127.0.0.1:1", "-H", "a:1", "-H", "b:1"];
  const config = configOf(onFailover === undefined ? args : [...args, "--on-failover", onFailover]);
  const events: Event[] = [];
  const clock = new ManualClock();
  const programs = new Programs(realClock);
  let state: State = { ...stateOf(serving({ is: "ran" })), epoch: 3 };
  const drills = new Drills(config.services[0]!, {
    ...{ clock, programs, policy: POLICY, instance: "i", probe, probeMaxMs: 1_000 },
    publish: (event) => events.push(event),
    state: () => state,
    findTriggers: () =>
      onFailover === undefined ? Promise.resolve(NO_PROGRAMS) : findTriggers(onFailover),
  });
  const decide = (next: State) => {
    state = next;
    drills.decided(next);
  };
  return { drills, events, programs, decide };
}

function found(findings: DrillFindings | string): DrillFindings["result"] {
  if (typeof findings === "string") throw new Error(findings);
  return findings.result;
}

Deno.test("a drill says who would take over, and is published with who ordered it", async () => {
  const { drills, events, programs } = fixtureOf();
  const findings = await drills.run({ ...ORDER, runTriggers: false });
  assertEquals([found(findings).active, found(findings).chosen], ["b", "a"]);
  assertEquals(typeof findings === "string" ? 0 : findings.faults.length > 0, true);
  assertEquals(events.map(({ type }) => type), ["drill.started", "drill.finished"]);
  const refusing = fixtureOf(undefined, () => Promise.resolve(REFUSED));
  const none = await refusing.drills.run({ ...ORDER, runTriggers: false });
  assertEquals(found(none).chosen, undefined);
  for (const each of [programs, refusing.programs]) await each[Symbol.asyncDispose]();
});

Deno.test("a drill is refused while another one is under way, without triggers, and at the end", async () => {
  const answer = Promise.withResolvers<typeof PASSED>();
  const { drills, programs } = fixtureOf(undefined, () => answer.promise);
  assertEquals(
    await drills.run({ ...ORDER, runTriggers: true }),
    "there are no triggers (--on-failover)",
  );
  const first = drills.run({ ...ORDER, runTriggers: false });
  assertEquals(drills.isRunning, true);
  assertEquals(
    await drills.run({ ...ORDER, runTriggers: false }),
    "a drill is under way already",
  );
  answer.resolve(PASSED);
  await first;
  assertEquals(drills.isRunning, false);
  await drills[Symbol.asyncDispose]();
  assertEquals(await drills.run({ ...ORDER, runTriggers: false }), "the service is stopping");
  await programs[Symbol.asyncDispose]();
});

Deno.test({
  name: "triggers run as in a promotion, and a failure is part of the result",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using folder = await ProgramFolder.make();
    const trigger = await folder.script(
      "promote",
      'echo "$FAILOVER_EVENT $FAILOVER_EPOCH $1"; exit 4',
    );
    const { drills, events, programs } = fixtureOf(trigger);
    const { triggers } = found(await drills.run({ ...ORDER, runTriggers: true }));
    assertEquals(triggers!.programs.map(({ program }) => program), [trigger]);
    assertMatch(triggers!.programs[0]!.reason!, /exited with 4/);
    const said = events.find((event) => event.type === "program.said");
    assertEquals(said?.type === "program.said" && said.line, "drill 3 a");
    const last = events.at(-1)!;
    assertMatch(last.type === "drill.finished" ? last.triggersFailed! : "", /exited with 4/);
    await programs[Symbol.asyncDispose]();
  },
});

Deno.test({
  name: "triggers are not rehearsed during a promotion, and a decision ends them",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using folder = await ProgramFolder.make();
    const fifo = await folder.fifo("begun");
    const trigger = await folder.script("promote", `echo > '${fifo}'; exec sleep 600`);
    const { drills, programs, decide } = fixtureOf(trigger);
    const running = drills.run({ ...ORDER, runTriggers: true });
    await Deno.readTextFile(fifo);
    decide({ ...stateOf(serving({ is: "ran" })), epoch: 4 });
    assertEquals(found(await running).triggers!.outcome.how, "cancelled");
    decide(START);
    const refused = await drills.run({ ...ORDER, runTriggers: true });
    assertMatch(String(refused), /cannot be rehearsed now/);
    await programs[Symbol.asyncDispose]();
  },
});
