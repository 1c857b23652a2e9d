import { assertEquals, assertRejects } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import type { ProbeContext, ProbeResult } from "../failover/ports.ts";
import type { ServerReport } from "../failover/server_report.ts";
import { ServerCheck } from "./server_check.ts";
import { NotAlive, PromotionRefused, type Question, type ServerProbe } from "./server_probe.ts";

const UPSTREAM = { name: "a", address: { kind: "tcp", host: "::1", port: 1 }, rank: 0 } as const;
const CONTEXT: ProbeContext = { lastChosen: "a", phase: "serving", epoch: 1 };
const TIMEOUT_MS = 1_000;

/** A probe whose questions the test answers. */
class Scripted implements ServerProbe {
  readonly questions: Question[] = [];
  readonly answers: PromiseWithResolvers<ServerReport>[] = [];
  closed = 0;
  onEnd = (_: string) => {};

  ask(question: Question): Promise<ServerReport> {
    this.questions.push(question);
    const answer = Promise.withResolvers<ServerReport>();
    this.answers.push(answer);
    return answer.promise;
  }

  close(): Promise<void> {
    this.closed++;
    return Promise.resolve();
  }
}

function build() {
  const clock = new ManualClock();
  const server = new Scripted();
  const ends: string[] = [];
  const settings = {
    timeoutMs: () => TIMEOUT_MS,
    clock,
    onEnd: (...end: [string, string]) => ends.push(end.join(": ")),
  };
  const check = new ServerCheck(() => Promise.resolve(server), settings);
  const ask = (context = CONTEXT, signal = new AbortController().signal) =>
    check.probe(UPSTREAM, context, signal);
  return { clock, server, ends, check, ask };
}

async function resultOf(
  settle: (answer: PromiseWithResolvers<ServerReport>) => void,
): Promise<ProbeResult> {
  const { clock, server, ask } = build();
  const asked = ask();
  await clock.advance(40);
  settle(server.answers[0]!);
  return await asked;
}

Deno.test("a server that answers has passed, with what it said", async () => {
  const words = new Map<ServerReport, string>([
    [{ role: "primary", phase: "running", position: 7 }, "primary"],
    [{ role: "standby", phase: "running", lagBytes: 3 }, "standby"],
    [{ role: "primary", phase: "running", readOnly: true }, "primary, takes no writes"],
    [{ role: "unknown", phase: "starting" }, "starting"],
    [{ role: "unknown", phase: "running" }, "alive, role unknown"],
    [
      { role: "unknown", phase: "running", reason: "password refused" },
      "alive, role unknown: password refused",
    ],
  ]);
  for (const [server, reason] of words) {
    assertEquals(await resultOf((answer) => answer.resolve(server)), {
      ...{ passed: true, evidence: "passed", tookMs: 40 },
      reason,
      server,
    });
  }
});

Deno.test("what a question rejects with says how much it proves", async () => {
  const failures = new Map<unknown, [string, string]>([
    [new NotAlive("silent", "no answer to a query"), ["silent", "no answer to a query"]],
    [new NotAlive("denied", "not this protocol"), ["denied", "not this protocol"]],
    [new Fault("connectRefused"), ["refused", "connection refused"]],
    [new Fault("localShortage", "no descriptors"), [
      "no_verdict",
      "something is short on this machine: no descriptors",
    ]],
  ]);
  for (const [error, [evidence, reason]] of failures) {
    const result = await resultOf((answer) => answer.reject(error));
    assertEquals([result.passed, result.evidence as string, result.reason], [
      false,
      evidence,
      reason,
    ]);
  }
  const { evidence, reason } = await resultOf((answer) => answer.reject(new TypeError("oops")));
  assertEquals([evidence, reason.startsWith("a fault of the proxy itself: TypeError: oops")], [
    "no_verdict",
    true,
  ]);
});

Deno.test("a question whose time is up is ended, and does not wait for a probe that never settles", async () => {
  const { clock, server, ask } = build();
  const asked = ask();
  await clock.advance(TIMEOUT_MS);
  assertEquals(server.questions[0]!.signal.aborted, true);
  await clock.advance(250);
  const { evidence, reason } = await asked;
  assertEquals([evidence, reason], ["silent", "no answer within 1s"]);
  // The next one waits for it, and is not asked at the same time.
  const next = ask();
  await clock.advance(TIMEOUT_MS);
  await clock.advance(250);
  assertEquals([(await next).evidence, server.questions.length], ["silent", 1]);
  server.answers[0]!.reject(new Error("ended at last"));
  const last = ask();
  await clock.advance(0);
  server.answers[1]!.resolve({ role: "primary", phase: "running" });
  assertEquals((await last).passed, true);
});

Deno.test("three who ask at one time are answered one after another", async () => {
  const { clock, server, ask } = build();
  const asked = [ask(), ask(), ask()];
  for (let round = 0; round < 3; round++) {
    await clock.advance(0);
    assertEquals(server.answers.length, round + 1);
    server.answers[round]!.resolve({ role: "primary", phase: "running" });
  }
  assertEquals((await Promise.all(asked)).map(({ passed }) => passed), [true, true, true]);
});

Deno.test("a check that is cancelled gives no verdict", async () => {
  const { clock, server, ask } = build();
  const cancel = new AbortController();
  const asked = ask(CONTEXT, cancel.signal);
  await clock.advance(0);
  cancel.abort();
  server.answers[0]!.reject(new Error("ended"));
  assertEquals((await asked).evidence, "no_verdict");
});

Deno.test("a doubt asks for a new connection", async () => {
  const { clock, server, ask } = build();
  ask({ ...CONTEXT, isDoubted: true });
  await clock.advance(0);
  assertEquals(server.questions[0]!.isDoubted, true);
});

Deno.test("a server without a command for it refuses to be promoted", async () => {
  const { check } = build();
  await assertRejects(
    () => check.promote(UPSTREAM, new AbortController().signal),
    PromotionRefused,
    "it has no command for that",
  );
});

Deno.test("the end of a kept connection is reported until the check is closed", async () => {
  const { clock, server, ends, check, ask } = build();
  const asked = ask();
  await clock.advance(0);
  server.answers[0]!.resolve({ role: "primary", phase: "running" });
  await asked;
  server.onEnd("the server ended it");
  await check.keepOnly([UPSTREAM]);
  assertEquals(server.closed, 0);
  await check[Symbol.asyncDispose]();
  server.onEnd("closed");
  assertEquals([ends, server.closed], [["a: the server ended it"], 1]);
});
