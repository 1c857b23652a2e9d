/**
 * Compares the sums of `explain` with the real checker, controller and machine, in virtual time, with a
 * fault at a random moment. The time until clients are let in again never exceeds the worst sum.
 */
import { assert } from "@std/assert";
import { ManualClock } from "../../src/base/clock.ts";
import { chosenSeed, Dice, firstSeed, seeds } from "../../src/base/testing/dice.ts";
import type { TcpConfig } from "../../src/config/options.ts";
import { loadWith } from "../../src/config/testing/config.ts";
import { explain } from "../../src/explain/explain.ts";
import { Controller } from "../../src/failover/controller.ts";
import type { Probe, ProbeResult } from "../../src/failover/ports.ts";
import type { Policy } from "../../src/failover/state.ts";
import { Checker, DOUBT_MS } from "../../src/health/checker.ts";
import { KILL_GRACE_MS } from "../../src/hooks/program.ts";

const RUNS = 200;
const FAULTS = ["refused", "silent", "frozen", "check program"] as const;

interface Case {
  readonly config: TcpConfig;
  readonly fault: typeof FAULTS[number];
  readonly triggerMs: number;
}

function caseOf(dice: Dice): Case {
  const pick = <T>(...choices: readonly T[]): T =>
    choices[Math.floor(dice.fraction() * choices.length)]!;
  const triggerMs = pick(0, 1_000, 20_000);
  const loaded = loadWith([
    ...["--hosts", "a:1,b:1,c:1", "--bind", "127.0.0.1:9", "--check-host", "/check"],
    ...[
      "--check-interval",
      pick("100ms", "1s", "2s", "10s"),
      "--check-timeout",
      pick("100ms", "1s", "3s"),
    ],
    ...["--check-script-timeout", pick("1s", "5s"), "--fail-threshold", String(pick(1, 2, 3, 5))],
    ...["--on-failover", "/trigger", "--trigger-timeout", `${triggerMs + 1}ms`, "--hold", "0"],
  ]);
  assert(loaded.kind === "run", JSON.stringify(loaded));
  const config = loaded.config.services[0]!;
  assert(config.mode === "tcp");
  return { config, fault: pick(...FAULTS), triggerMs };
}

/** The result of a check, with its duration. */
function checkOf(
  { config: { checkTimeout, checkScriptTimeout }, fault }: Case,
  isBroken: boolean,
  random: () => number,
): ProbeResult {
  const programMs = checkScriptTimeout + 2 * KILL_GRACE_MS;
  const no = (tookMs: number, evidence: "refused" | "silent" | "denied") =>
    ({ passed: false, tookMs, reason: evidence, evidence }) as const;
  if (!isBroken) {
    const isSlow = random() < 0.1;
    const tookMs = isSlow ? checkTimeout + programMs : random() * checkTimeout * 0.1;
    return { passed: true, tookMs, reason: "connected", evidence: "passed" };
  }
  if (fault === "refused") return no(random() * 10, "refused");
  if (fault === "silent") return no(checkTimeout + random() * 10, "silent");
  return no(
    random() * checkTimeout + (fault === "frozen" ? programMs : random() * programMs),
    "denied",
  );
}

/** Milliseconds from the fault until clients are let in again. */
async function outageOf(each: Case, random: () => number): Promise<number> {
  const { config, triggerMs } = each;
  const clock = new ManualClock();
  let isBroken = false;
  let opened: string | undefined;
  const wait = (ms: number) => new Promise<void>((resolve) => clock.after(ms, resolve));
  const probe: Probe = async ({ name }) => {
    const result = checkOf(each, isBroken && name === "a:1", random);
    await wait(result.tookMs);
    return result;
  };
  const done = () => Promise.resolve();
  const upstreams = config.hosts.map(({ name, address }, rank) => ({ name, address, rank }));
  const controller: Controller = new Controller(upstreams, policyOf(config), {
    clock,
    publish: () => {},
    plane: {
      ...{ hold: done, refuse: done, confirm: done, drain: done, spare: done },
      open: ({ name }) => Promise.resolve(void (opened = name)),
      busy: () => Promise.resolve(0),
    },
    checks: {
      now: (upstream) => checker.now(upstream),
      pace: (upstream, pace) => checker.pace(upstream, pace),
    },
    triggers: { run: () => wait(triggerMs * random()).then(() => ({ how: "ran" }) as const) },
  });
  const checker = new Checker({
    upstreams,
    probe,
    connection: probe,
    intervalMs: config.checkInterval,
    doubtMs: DOUBT_MS,
    probeMaxMs: 60_000,
  }, {
    clock,
    random,
    context: () => ({ lastChosen: undefined, phase: "serving", epoch: 1 }),
    stage: () => controller.state.stage,
    post: (upstream, result, stage) => controller.post({ type: "probed", upstream, result, stage }),
  });
  controller.post({ type: "begun" });
  await clock.advance(0); // the checker begins in a microtask
  await clock.advance(60_000 + random() * 20_000);
  assert(opened === "a:1", `the service began with ${opened}`);
  isBroken = true;
  // A check that has passed already, though its result is on the way, does not see the fault.
  const since = clock.now();
  for (let round = 0; opened === "a:1" && round < 100_000; round++) {
    await clock.advance(Math.max(0, (clock.nextAt ?? clock.now()) - clock.now()));
  }
  const tookMs = clock.now() - since;
  const ends = [checker[Symbol.asyncDispose](), controller[Symbol.asyncDispose]()];
  await clock.advance(120_000);
  await Promise.all(ends);
  return tookMs;
}

function policyOf(config: TcpConfig): Policy {
  return {
    rise: config.recoverThreshold,
    fall: config.failThreshold,
    ...{ holdMs: config.hold, holdWhile: "down", failOpen: false, failback: { kind: "never" } },
    ...{ damping: true, maxBackoffMs: config.maxBackoff, sessionsOnDown: "cut" },
    ...{ sessionsOnMove: "cut", graceMs: config.grace, drainMs: 1_000, triggers: "before" },
    ...{ onTriggerFailure: "continue", instance: "explain" },
  };
}

Deno.test("no failover takes longer than the worst sum of explain", async () => {
  let closest = 0;
  for (const seed of seeds(RUNS, firstSeed)) {
    const dice = new Dice(seed);
    const each = caseOf(dice);
    const { faults } = explain(each.config, { triggers: 1 });
    const { worstMs } = faults.find(({ name }) => name === each.fault)!;
    const tookMs = await outageOf(each, () => dice.fraction());
    const { origins: _, ...options } = each.config;
    assert(
      tookMs <= worstMs,
      `FAILOVER_SEED=${seed}: ${each.fault} took ${tookMs} ms, ${worstMs} at worst ${
        JSON.stringify(options)
      }`,
    );
    closest = Math.max(closest, tookMs / worstMs);
  }
  // A sum that no run comes near would be useless.
  if (chosenSeed === undefined) {
    assert(closest > 0.4, `the longest was ${closest} of its worst sum`);
  }
});
