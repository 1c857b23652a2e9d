import { assertEquals } from "@std/assert";
import { adminApp } from "./admin.ts";
import { PASSED, REFUSED } from "../failover/testing/results.ts";
import { adminSettings, TestService } from "./testing/service.ts";

function appOf(service: TestService, exposure: "operator" | "public" = "operator") {
  return adminApp(adminSettings([service]), exposure);
}

async function ask(app: ReturnType<typeof appOf>, path: string) {
  const response = await app.request(`http://localhost/__failover/${path}`);
  return [response.status, await response.json()];
}

Deno.test("operators see incidents, one of them with its inputs, and the last 24 hours", async () => {
  await using service = new TestService({ name: "shop" });
  await service.start(PASSED, PASSED);
  await service.answer("a", REFUSED, 4);
  await service.answer("b", PASSED);
  const app = appOf(service);
  const [status, { incidents }] = await ask(app, "incidents?service=shop");
  assertEquals([status, incidents.length, incidents[1].to], [200, 2, "b"]);
  const [, one] = await ask(app, `incidents/${incidents[1].id}`);
  assertEquals([one.kind, one.inputs], ["failover", undefined]);
  const [, full] = await ask(app, `incidents/${incidents[1].id}?inputs=true`);
  assertEquals(full.inputs.policy.instance, "test");
  const [, { services }] = await ask(app, "timeline");
  assertEquals(services[0].changes.at(-1).upstream, "b");
});

Deno.test("unknown ids and services are 404, and the public sees nothing", async () => {
  await using service = new TestService({ name: "shop" });
  const app = appOf(service);
  assertEquals((await ask(app, "incidents/x"))[1].error, "there is no incident x");
  assertEquals((await ask(app, "incidents?service=x"))[0], 404);
  assertEquals((await ask(app, "timeline?service=x"))[0], 404);
  assertEquals((await ask(appOf(service, "public"), "incidents"))[0], 404);
});
