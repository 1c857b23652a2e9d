/**
 * Runs every `*.txt` file of this folder through the failover machine. A transcript consists of commands,
 * a line `----`, and the effects of the machine. After an intended change, rewrite the transcripts by
 * `deno test -A tests/transcripts -- --rewrite` and review the diff.
 *
 * Commands: `upstreams a b key=value …` · `begin` ·
 * `pass|overtaken|refuse|deny|silence|no_verdict UPSTREAM [×N] [late]` (late: the probe began before the
 * last change of `stage`) · `primary|standby|unknown|starting|readonly UPSTREAM [FACT=NUMBER …] [overtaken]` (an
 * answer of a server that says its role; facts are those of `ServerReport`) · `doubt UPSTREAM hard|soft` · `triggers end|fail|short|refused|unclear` · `wait DURATION` ·
 * `failback` · `switchover UPSTREAM [MAX_WAIT]` · `quiet` (the sessions of the old upstream are quiet) ·
 * `list a b key=value …` (another list, and what changes in the policy) ·
 * `restart` (the process ends and begins again with what it remembers) · `takeover` (another process goes on) · `pause` · `resume` · `hold [MAX]` · `release` · `drain UPSTREAM` · `undrain UPSTREAM`.
 */
import { assert, assertEquals } from "@std/assert";
import { formatDuration, parseDuration } from "../../src/base/duration.ts";
import type { Event } from "../../src/events/events.ts";
import { handedOver } from "../../src/failover/handing_over.ts";
import { type Memory, memoryOf } from "../../src/failover/memory.ts";
import type { ProbeResult, TriggerOutcome } from "../../src/failover/ports.ts";
import type { OperatorOrder } from "../../src/failover/orders.ts";
import type { MaxLag } from "../../src/failover/roles.ts";
import type { ServerReport } from "../../src/failover/server_report.ts";
import { policyAfter, step } from "../../src/failover/machine.ts";
import { initialState, type Policy, type State, wakeAt } from "../../src/failover/state.ts";
import type { Effect, Input } from "../../src/failover/steps.ts";
import { POLICY } from "../../src/failover/testing/policy.ts";

const DEFAULTS: Policy = { ...POLICY, instance: "id" };

const ANSWERS: Readonly<Record<string, ProbeResult>> = {
  pass: { passed: true, tookMs: 1, reason: "connected", evidence: "passed" },
  overtaken: { passed: true, tookMs: 1, reason: "connected", evidence: "passed", overtaken: true },
  refuse: { passed: false, tookMs: 1, reason: "connection refused", evidence: "refused" },
  deny: { passed: false, tookMs: 5, reason: "check exited with 1", evidence: "denied" },
  silence: { passed: false, tookMs: 1_000, reason: "no answer in 1s", evidence: "silent" },
  no_verdict: { passed: false, tookMs: 0, reason: "too many open files", evidence: "no_verdict" },
};

const SERVERS: Readonly<Record<string, ServerReport>> = {
  primary: { role: "primary", phase: "running" },
  standby: { role: "standby", phase: "running" },
  unknown: { role: "unknown", phase: "running", reason: "password refused for user app" },
  starting: { role: "unknown", phase: "starting" },
  readonly: { role: "primary", phase: "running", readOnly: true },
};

/** The answer of a server that says its role; undefined for another command. */
function serverAnswer(verb: string, words: readonly string[]): ProbeResult | undefined {
  const server = SERVERS[verb];
  if (server === undefined) return undefined;
  const facts = words.filter((word) => word.includes("=")).map((word) => {
    const [fact, number] = word.split("=");
    return [fact, Number(number)];
  });
  return {
    ...{ passed: true, tookMs: 1, reason: verb, evidence: "passed" },
    server: { ...server, ...Object.fromEntries(facts) },
    ...words.includes("overtaken") ? { overtaken: true } : {},
  };
}

const OUTCOMES: Readonly<Record<string, TriggerOutcome>> = {
  end: { how: "ran" },
  fail: { how: "failed", reason: "trigger ./promote exited with 1" },
  short: {
    how: "short",
    reason: "trigger ./promote could not be started: too many open files",
    hasBegun: false,
  },
  refused: { how: "failed", reason: "permission denied", promotion: "refused" },
  unclear: { how: "failed", reason: "no answer within 1m", promotion: "unclear" },
};

function ms(text: string): number {
  const value = parseDuration(text);
  assert(typeof value === "number", `bad duration ${text}`);
  return value;
}

function lag(text: string): MaxLag {
  return text.endsWith("B") ? { bytes: parseInt(text) } : { seconds: ms(text) / 1_000 };
}

function policyFrom(words: readonly string[], before = DEFAULTS): Policy {
  const policy: Record<string, unknown> = { ...before };
  for (const word of words) {
    const [key, value] = word.split("=") as [string, string];
    if (key === "rise" || key === "fall") policy[key] = Number(value);
    else if (key === "hold" || key === "grace") policy[`${key}Ms`] = ms(value);
    else if (key === "onTriggerFailure" || key === "sessionsOnMove") policy[key] = value;
    else if (key === "damping" || key === "failOpen") policy[key] = value === "on";
    else if (key === "holdWhile" || key === "sessionsOnDown" || key === "triggers") {
      policy[key] = value;
    } else if (key === "failback") {
      policy[key] = /^\d/.test(value) ? { kind: "after", ms: ms(value) } : { kind: value };
    } else if (key === "roles") policy[key] = { ...policy[key] as object, promotedBy: value };
    else if (key === "maxLag") policy.roles = { ...policy.roles as object, maxLag: lag(value) };
    else throw new Error(`unknown setting ${key}`);
  }
  return policy as unknown as Policy;
}

function upstreamsFrom(words: readonly string[]): State["upstreams"] {
  return words.filter((word) => !word.includes("=")).map((name, rank) => ({
    name,
    rank,
    address: { kind: "tcp" as const, host: name, port: 1 },
  }));
}

/** The order that a command gives, or undefined if it gives none. */
function orderFrom(verb: string, [first, second]: readonly string[]): OperatorOrder | undefined {
  switch (verb) {
    case "switchover":
      return {
        name: verb,
        to: first!,
        ...(second === undefined ? {} : { maxWaitMs: ms(second) }),
      };
    case "hold":
      return { name: verb, ...(first === undefined ? {} : { maxMs: ms(first) }) };
    case "drain":
    case "undrain":
      return { name: verb, upstream: first! };
    case "failback":
    case "pause":
    case "resume":
    case "release":
      return { name: verb };
  }
}

/** A machine with a manual clock, and one line for each of its effects. */
class Machine {
  #policy = DEFAULTS;
  #state: State = initialState([], 0);
  #now = 0;
  #lastOrder = 0;
  readonly lines: string[] = [];

  run(command: string): void {
    const [verb, ...words] = command.split(/\s+/) as [string, ...string[]];
    if (verb === "upstreams") return this.#reset(words);
    if (verb === "list") return this.#list(words);
    if (verb === "restart") return this.#restart(memoryOf(this.#state));
    if (verb === "takeover") return this.#takeOver();
    if (verb === "begin") return this.#input({ type: "begun" });
    const order = orderFrom(verb, words);
    if (order !== undefined) {
      const source = { by: "ann", reason: "" };
      return this.#input({ type: "ordered", id: ++this.#lastOrder, order, ...source });
    }
    if (verb === "quiet") return this.#input({ type: "quieted", epoch: this.#state.epoch });
    if (verb === "triggers") {
      const outcome = OUTCOMES[words[0]!];
      assert(outcome !== undefined, `unknown outcome ${command}`);
      return this.#input({ type: "triggersEnded", epoch: this.#state.epoch, outcome });
    }
    if (verb === "wait") return this.#wait(ms(words[0]!));
    const upstream = words[0]!;
    if (verb === "doubt") {
      const hard = words[1] === "hard";
      const reason = hard ? "connection refused" : "no answer to connect for 500ms";
      const doubt = { upstream, epoch: this.#state.epoch, hard, reason };
      return this.#input({ type: "doubted", doubt });
    }
    const result = ANSWERS[verb] ?? serverAnswer(verb, words);
    assert(result !== undefined, `unknown command ${command}`);
    const times = Number(words.find((word) => word.startsWith("×"))?.slice(1) ?? 1);
    const isLate = words.includes("late");
    const input = (): Input => ({
      type: "probed",
      upstream,
      result,
      stage: this.#state.stage - (isLate ? 1 : 0),
    });
    for (let i = 0; i < times; i++) this.#input(input());
  }

  #reset(words: readonly string[]): void {
    this.#policy = policyFrom(words.filter((word) => word.includes("=")));
    this.#now = 0;
    this.#lastOrder = 0;
    this.#state = initialState(upstreamsFrom(words), 0);
  }

  #list(words: readonly string[]): void {
    const policy = policyFrom(words.filter((word) => word.includes("=")), this.#policy);
    this.#input({ type: "configured", upstreams: upstreamsFrom(words), policy });
  }

  #restart(memory: Memory): void {
    this.#state = initialState(this.#state.upstreams, this.#now, memory);
    this.#input({ type: "begun" });
  }

  #takeOver(): void {
    const memory = handedOver(this.#state, this.#policy);
    if (typeof memory === "string") this.lines.push(`not now: ${memory}`);
    else this.#restart(memory);
  }

  #wait(lengthMs: number): void {
    const end = this.#now + lengthMs;
    for (let at = wakeAt(this.#state); at !== undefined && at <= end; at = wakeAt(this.#state)) {
      this.#now = Math.max(this.#now, at);
      this.#input({ type: "ticked" });
    }
    this.#now = end;
  }

  #input(input: Input): void {
    const { state, effects } = step(this.#state, input, this.#now, this.#policy);
    this.#state = state;
    this.#policy = policyAfter(input, this.#policy);
    for (const effect of effects) this.lines.push(lineOf(effect));
  }
}

function lineOf(effect: Effect): string {
  switch (effect.do) {
    case "publish":
      return `  ${eventLine(effect.event)}`;
    case "open":
      return `open ${effect.upstream.name} (epoch ${effect.epoch})`;
    case "probe":
    case "spare":
    case "confirm":
      return `${effect.do} ${effect.upstream}`;
    case "pace":
      return `pace ${effect.upstream} ${effect.pace}`;
    case "drain": {
      const { upstream, throughEpoch, graceMs, sparedIfMovedMs } = effect.order;
      const spared = sparedIfMovedMs === undefined
        ? "all"
        : `those silent for ${formatDuration(sparedIfMovedMs)}`;
      return `drain ${upstream} through epoch ${throughEpoch}, ${spared} after ${
        formatDuration(graceMs)
      }`;
    }
    case "runTriggers":
      return `runTriggers ${effect.promotion.to} (epoch ${effect.promotion.epoch})`;
    case "cancelTriggers":
      return `cancelTriggers (epoch ${effect.epoch})`;
    case "awaitQuiet":
      return `awaitQuiet ${effect.upstream} before epoch ${effect.epoch}`;
    case "settle": {
      const { id, outcome } = effect;
      return `order ${id} ${outcome.is}${"reason" in outcome ? `: ${outcome.reason}` : ""}`;
    }
    default:
      return effect.do;
  }
}

function eventLine(event: Event): string {
  const { type, ...fields } = event;
  return `${type} ${JSON.stringify(fields)}`;
}

/** Runs the commands of a transcript and returns it with the present effects. */
function replay(text: string): string {
  const machine = new Machine();
  const out: string[] = [];
  let inOutput = false;
  for (const line of text.split("\n")) {
    if (line.trim() === "") inOutput = false;
    else if (inOutput) continue;
    else if (line.startsWith("----")) inOutput = true;
    else if (!line.startsWith("#")) machine.run(line);
    out.push(line);
    if (inOutput) out.push(...machine.lines.splice(0));
  }
  assertEquals(machine.lines, [], "commands without a ---- line after them");
  return out.join("\n");
}

const folder = new URL(".", import.meta.url);
const files = [...Deno.readDirSync(folder)].map((f) => f.name).filter((n) => n.endsWith(".txt"));

Deno.test("there are transcripts to replay", () => {
  assert(files.length >= 5, `found ${files.length}`);
});

for (const file of files.sort()) {
  Deno.test(`the machine acts as recorded in ${file}`, async () => {
    const url = new URL(file, folder);
    const written = await Deno.readTextFile(url);
    const now = replay(written);
    if (Deno.args.includes("--rewrite")) await Deno.writeTextFile(url, now);
    else assertEquals(now, written);
  });
}
