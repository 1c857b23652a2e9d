/** What is derived from the state of a service: whether a failover is possible, and the roles of upstreams. */
import { assertEquals } from "@std/assert";
import { answeredAs, PASSED, REFUSED } from "../failover/testing/results.ts";
import { promoting, stateOf } from "../failover/testing/states.ts";
import { TestService } from "./testing/service.ts";
import { barIn, couldTakeOver, COUNTER_ROWS, isOnBackup, isReady, upstreamRole } from "./view.ts";

const ROLES = { roles: { maxLag: undefined, promotedBy: "us" } } as const;

Deno.test("a failover is possible while another upstream is up and not drained, and the service not paused", async () => {
  await using service = new TestService();
  assertEquals(isReady(service.view), false);
  await service.start(PASSED, PASSED);
  assertEquals(isReady(service.view), true);
  const state = service.view.state();
  const standing = { by: "ann", reason: "", since: 0 };
  const given = (more: Partial<typeof state>) =>
    isReady({ ...service.view, state: () => ({ ...state, ...more }) });
  assertEquals(given({ paused: standing }), false);
  assertEquals(given({ drained: new Map([["b", standing]]) }), false);
  assertEquals(given({ drained: new Map([["a", standing]]) }), true);
});

Deno.test("the active upstream and the candidate have their role, also when they are drained", async () => {
  await using service = new TestService();
  await service.start(PASSED, PASSED);
  const state = service.view.state();
  assertEquals([upstreamRole(state, "a"), upstreamRole(state, "b")], ["active", "standby"]);
  const standing = { by: "ann", reason: "", since: 0 };
  const drained = { ...state, drained: new Map([["a", standing], ["b", standing]]) };
  assertEquals([upstreamRole(drained, "a"), upstreamRole(drained, "b")], ["active", "drained"]);
  const moving = stateOf(promoting(false, { is: "ran" }), { is: "closed", outSince: 0 });
  assertEquals(upstreamRole(moving, "a"), "candidate");
});

Deno.test("a service is on a backup if that serves, or served last", async () => {
  await using first = new TestService();
  assertEquals(isOnBackup(first.view), false);
  await first.start(PASSED, PASSED);
  assertEquals(isOnBackup(first.view), false);
  await using second = new TestService();
  await second.start(REFUSED, PASSED);
  assertEquals(isOnBackup(second.view), true);
});

Deno.test("each metric of a counter has one name", () => {
  const names = COUNTER_ROWS.flatMap(([, { metric, labels }]) =>
    metric === undefined ? [] : [`${metric} ${labels?.rule}`]
  );
  assertEquals(new Set(names).size, names.length);
});

Deno.test("a standby may take over, a stale primary may not, and neither changes the verdict", async () => {
  await using service = new TestService({ policy: ROLES });
  await service.start(answeredAs("primary"), answeredAs("standby"));
  const state = () => [isReady(service.view), couldTakeOver(service.view, "b")];
  assertEquals([state(), barIn(service.view, "b")], [[true, true], undefined]);
  await service.answer("b", answeredAs("primary"));
  await service.answer("a", answeredAs("primary"));
  assertEquals([state(), barIn(service.view, "b")?.kind], [[false, false], "rival"]);
});

Deno.test("where somebody else promotes servers, a standby counts as ready", async () => {
  await using service = new TestService({
    policy: { roles: { maxLag: undefined, promotedBy: "others" } },
  });
  await service.start(answeredAs("primary"), answeredAs("standby"));
  assertEquals(isReady(service.view), true);
});
