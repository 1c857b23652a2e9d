import { assertEquals, assertObjectMatch } from "@std/assert";
import { stateReport } from "./state_report.ts";
import { adminApp } from "./admin.ts";
import { parseOrder } from "./orders.ts";
import { sentenceOf } from "../report/lines.ts";
import { PASSED, REFUSED } from "../failover/testing/results.ts";
import { adminSettings, TestService } from "./testing/service.ts";

/** Gives orders to a service, as the requests of an operator. */
function orderer(service: TestService) {
  const app = adminApp(adminSettings([service], { sentence: sentenceOf }), "operator", "all");
  return async (query: string) => {
    const response = await app.request(`/__failover/${query}`, { method: "POST" });
    return [response.status, await response.json()] as const;
  };
}

Deno.test("orders that stay in force take effect at once, are shown in the state, and can be undone", async () => {
  await using service = new TestService();
  await service.start(PASSED, PASSED);
  const order = orderer(service);
  const done = [200, { ordered: true, outcome: "finished", epoch: 1 }] as const;
  assertEquals(await order("pause?reason=night%0Awork"), done);
  assertEquals(await order("hold?max=5s"), done);
  assertEquals(await order("drain?upstream=b"), done);
  assertObjectMatch(stateReport(service.view, service.clock), {
    admission: "holding",
    paused: { by: "a client of the admin endpoints", reason: "night work" },
    held_by_order: { reason: "" },
    upstreams: [{ name: "a", drained: null }, { name: "b", drained: { reason: "" } }],
  });
  for (const query of ["resume", "release", "undrain?upstream=b"]) {
    assertEquals(await order(query), done);
  }
  assertObjectMatch(stateReport(service.view, service.clock), {
    admission: "open",
    paused: null,
    held_by_order: null,
    upstreams: [{ drained: null }, { drained: null }],
  });
});

Deno.test("a switchover is answered when it is accepted, or at its end", async () => {
  await using service = new TestService();
  await service.start(PASSED, PASSED);
  const order = orderer(service);
  const [status, { outcome }] = await order("switchover?to=b&max_wait=1s&reason=test");
  assertEquals([status, outcome], [202, "accepted"]);
  await service.clock.advance(100);
  assertEquals(service.controller.state.lastServed?.to, "b");
  assertEquals(stateReport(service.view, service.clock).pinned, "b");
  assertEquals(await order("switchover?to=a&wait=true"), [
    200,
    { ordered: true, outcome: "finished", epoch: 3 },
  ]);
});

Deno.test("an order that is refused has a reason", async () => {
  await using service = new TestService();
  await service.start(PASSED, REFUSED);
  const order = orderer(service);
  const error = async (query: string) => {
    const [status, body] = await order(query);
    return [status, body.error];
  };
  assertEquals(await error("switchover?to=b"), [409, "b is down: connection refused"]);
  assertEquals(await error("hold?max=1h"), [
    409,
    "1h is longer than any client waits (--hold 10s)",
  ]);
  assertEquals(await error("switchover"), [400, "name the upstream: ?to=UPSTREAM"]);
  assertEquals(await error("pause?for=1h"), [400, "pause has no parameter for"]);
  assertEquals(await error("drain"), [400, "name the upstream: ?upstream=UPSTREAM"]);
});

Deno.test("the parameters of an order are read as durations and names", () => {
  assertEquals(parseOrder("switchover", { to: "b", max_wait: "1m" }), {
    name: "switchover",
    to: "b",
    maxWaitMs: 60_000,
  });
  assertEquals(parseOrder("hold", { max: "250ms", service: "x" }), { name: "hold", maxMs: 250 });
  assertEquals(parseOrder("hold", { max: "soon" }), "max is not a duration of at most 1d: soon");
  assertEquals(parseOrder("release", {}), { name: "release" });
});
