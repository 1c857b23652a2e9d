import { assertEquals, assertObjectMatch } from "@std/assert";
import { outlook, stateReport } from "./state_report.ts";
import { answeredAs, PASSED, REFUSED } from "../failover/testing/results.ts";
import { TestService } from "./testing/service.ts";

const ROLES = { roles: { maxLag: undefined, promotedBy: "us" } } as const;
const T = { rise: 2, fall: 3 };
const health = (level: number | undefined, doubt: "none" | "hard" = "none") => ({
  level,
  since: 0,
  failingSince: undefined,
  passedAt: undefined,
  failedAt: undefined,
  doubt,
  last: undefined,
  server: undefined,
  noVerdict: undefined,
});
/** The time, in seconds since 1970, at which a manual clock is 0. */
const ZERO = 1_750_000_000;

Deno.test("the report has the documented keys, also before the first check", async () => {
  await using service = new TestService();
  assertObjectMatch(stateReport(service.view, service.clock), {
    on_backup: false,
    since_unix: ZERO,
    primary: "a",
    backup: "b",
    fail_count: 0,
    recover_count: 0,
    phase: "waiting",
    active: null,
    admission: "closed",
    epoch: 0,
  });
});

Deno.test("the report shows where traffic goes, since when, and the last results of each upstream", async () => {
  await using service = new TestService({ counters: { clientSentBytes: 7, held: 0 } });
  const { clock } = service;
  await clock.advance(5_400);
  await service.start({ ...PASSED, tookMs: 1.26 }, PASSED);
  await clock.advance(60_000);
  await service.answer("a", REFUSED, 2);
  const report = stateReport(service.view, clock);
  assertObjectMatch(report, {
    on_backup: false,
    since_unix: ZERO + 5,
    active: "a",
    admission: "open",
    epoch: 1,
    fail_count: 2,
    counters: { client_sent_bytes: 7, held: 0 },
  });
  const [a, b] = report.upstreams as Record<string, unknown>[];
  assertObjectMatch(a!, {
    name: "a",
    rank: 0,
    active: true,
    verdict: "up",
    checks_passed: 1,
    checks_failed: 2,
    next_check_unix: ZERO + 67,
    what_would_change_it: "one more failed check brings it down, one passed clears it",
  });
  assertEquals((a!.last_results as unknown[])[0], {
    time: new Date(ZERO * 1_000 + 5_400).toISOString(),
    passed: true,
    reason: "connected",
    evidence: "passed",
    took_ms: 1.3,
  });
  assertObjectMatch(b!, { active: false, verdict: "up", next_check_unix: null });
});

Deno.test("the report shows an active backup and a recovery in progress", async () => {
  await using service = new TestService({ policy: { failback: { kind: "after", ms: 30_000 } } });
  const { clock } = service;
  await service.start(PASSED, PASSED);
  await clock.advance(10_000);
  await service.answer("a", REFUSED, 4);
  // Down at 10 s; the selection also needs the answer of the backup.
  assertObjectMatch(stateReport(service.view, clock), {
    on_backup: false,
    since_unix: ZERO + 10,
    phase: "selecting",
    active: null,
    last_active: "a",
    admission: "holding",
    hold_ends_unix: ZERO + 20,
  });
  await clock.advance(2_000);
  await service.answer("b", PASSED);
  await service.answer("a", PASSED);
  assertObjectMatch(stateReport(service.view, clock), {
    on_backup: true,
    since_unix: ZERO + 12,
    active: "b",
    fail_count: 0,
    recover_count: 1,
    failback: {
      policy: "after 30s",
      planned: null,
      refused_now_because: "no better upstream is up",
    },
  });
  await service.answer("a", PASSED);
  assertObjectMatch(stateReport(service.view, clock), {
    recover_count: 0,
    failback: {
      planned: { to: "a", at_unix: ZERO + 42, damping_ms: 0 },
      refused_now_because: null,
    },
  });
});

Deno.test("what would change a verdict is a sentence in the report", () => {
  assertEquals(outlook(health(undefined), T), "the first check decides");
  assertEquals(outlook(health(0), T), "a run of 2 passed checks brings it up");
  assertEquals(outlook(health(1), T), "one more passed check brings it up");
  assertEquals(outlook(health(4), T), "a run of 3 failed checks brings it down");
  assertEquals(outlook(health(4, "hard"), T).includes("refused a client"), true);
});

Deno.test("the report shows checks without a verdict, and the state of the triggers", async () => {
  await using service = new TestService();
  const { clock } = service;
  await service.start(PASSED, PASSED);
  await clock.advance(3_000);
  const noVerdict = {
    passed: false,
    tookMs: 0,
    reason: "too many open files",
    evidence: "no_verdict",
  };
  await service.answer("b", noVerdict as typeof REFUSED, 4);
  const report = stateReport(service.view, clock);
  assertObjectMatch(report, {
    triggers: { state: "ran", reason: null, next_attempt_unix: null },
    last_promoted: "a",
    active: "a",
  });
  assertObjectMatch((report.upstreams as Record<string, unknown>[])[1]!, {
    verdict: "up",
    checks_passed: 1,
    checks_failed: 0,
    checks_no_verdict: 4,
    no_verdict: { since_unix: ZERO + 3, reason: "too many open files" },
  });
});

Deno.test("the report shows what a server says of itself, and why it may not be chosen", async () => {
  await using service = new TestService({ policy: ROLES });
  await service.start(
    answeredAs("primary", { position: 5_000 }),
    answeredAs("standby", { position: 4_000, lagSeconds: 2 }),
  );
  const upstreams = () =>
    stateReport(service.view, service.clock).upstreams as Record<string, unknown>[];
  assertObjectMatch(upstreams()[0]!, {
    server: { role: "primary", reason: null, phase: "running", lag_bytes: null },
    barred: null,
  });
  assertObjectMatch(upstreams()[1]!, {
    server: { role: "standby", lag_bytes: 1_000, lag_seconds: 2 },
    barred: null,
  });
  await service.answer("b", answeredAs("unknown", { phase: "starting" }));
  assertObjectMatch(upstreams()[1]!, {
    verdict: "up",
    barred: { kind: "starting", reason: "it is starting" },
  });
  await using other = new TestService();
  await other.start(PASSED, PASSED);
  const [a] = stateReport(other.view, other.clock).upstreams as Record<string, unknown>[];
  assertObjectMatch(a!, { server: null, barred: null });
});
