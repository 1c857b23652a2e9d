import { assertEquals } from "@std/assert";
import type { DrillResult } from "../failover/drill.ts";
import { CUT_OFF } from "../failover/cluster.ts";
import { adminApp } from "./admin.ts";
import { PASSED } from "../failover/testing/results.ts";
import { adminSettings, TestService } from "./testing/service.ts";
import type { DrillOrder, ServiceView } from "./view.ts";

const RESULT: DrillResult = {
  active: "a",
  answers: [{
    upstream: { name: "b", rank: 1, address: { kind: "tcp", host: "b", port: 1 } },
    result: PASSED,
    excluded: undefined,
    isSuspect: false,
  }],
  ...{ chosen: "b", why: "it is the first", choiceMs: 1.234, triggers: undefined },
};

function appOf(service: TestService, drill: ServiceView["drill"]) {
  const services = [drill === undefined ? service.view : { ...service.view, drill }];
  return adminApp(adminSettings([service], { services }), "operator", "all");
}

async function post(app: ReturnType<typeof appOf>, query: string, headers = {}) {
  const url = `http://localhost/__failover/drill${query}`;
  const response = await app.request(url, { method: "POST", headers });
  return [response.status, await response.json()];
}

Deno.test("a drill records who ordered it and why, and its report is JSON", async () => {
  await using service = new TestService({ name: "shop" });
  const orders: DrillOrder[] = [];
  const faults = [{ name: "refused", worstMs: Infinity, usualMs: 2_000, terms: [] }];
  const app = appOf(service, (order) => {
    orders.push(order);
    return Promise.resolve({ result: RESULT, triggers: 2, faults });
  });
  const [status, body] = await post(app, "?run_triggers=true&reason=a%0Ab");
  assertEquals(status, 200);
  assertEquals(orders, [
    { by: "a client of the admin endpoints", reason: "a b", runTriggers: true },
  ]);
  assertEquals([body.chosen, body.choice_ms, body.ready, body.paused], ["b", 1.2, false, false]);
  assertEquals(body.triggers, { count: 2, ran: false });
  assertEquals(body.cut_off, false);
  service.controller.post({ type: "coordinated", view: CUT_OFF });
  assertEquals((await post(app, ""))[1].cut_off, true);
  assertEquals(body.faults, [{ name: "refused", usual_ms: 2_000, worst_ms: null, terms: [] }]);
});

Deno.test("a drill that is refused has a reason; wrong parameters and web pages are refused too", async () => {
  await using service = new TestService({ name: "shop" });
  const app = appOf(service, () => Promise.resolve("a drill is under way already"));
  assertEquals(await post(app, ""), [
    409,
    { error: "a drill is under way already", outcome: "refused" },
  ]);
  assertEquals((await post(app, "?run_triggers=yes"))[0], 400);
  assertEquals((await post(app, "?triggers=true"))[0], 400);
  assertEquals((await post(app, "?service=blog"))[0], 400);
  assertEquals((await post(app, "", { origin: "http://evil" }))[0], 403);
});
