import { assertEquals } from "@std/assert";
import { adminApp, type OrdersAccess } from "./admin.ts";
import type { ReloadAnswer } from "./reload.ts";
import { adminSettings, TestService } from "./testing/service.ts";

const DONE: ReloadAnswer = { outcome: "applied", changes: ["x"], errors: [], warnings: [] };

async function post(
  query: string,
  { answer = DONE, access = "all" as OrdersAccess, headers = {} } = {},
) {
  await using service = new TestService({ name: "shop" });
  const orders: { dryRun: boolean; by: string }[] = [];
  const reload = (order: { dryRun: boolean; by: string }) => {
    orders.push(order);
    return Promise.resolve(answer);
  };
  const app = adminApp({ ...adminSettings([service]), reload }, "operator", access);
  const url = `http://localhost/__failover/reload${query}`;
  const response = await app.request(url, { method: "POST", headers });
  return { status: response.status, body: await response.json(), orders };
}

Deno.test("a reload is answered with what has changed, and its caller is named", async () => {
  const { status, body, orders } = await post("?dry_run=true");
  assertEquals([status, body], [200, DONE]);
  assertEquals(orders, [{ dryRun: true, by: "a client of the admin endpoints" }]);
  assertEquals((await post("")).orders[0]!.dryRun, false);
});

Deno.test("a refusal is 409 with every line", async () => {
  const answer: ReloadAnswer = {
    outcome: "refused",
    errors: ["a", "b"],
    changes: [],
    warnings: [],
  };
  const { status, body } = await post("", { answer });
  assertEquals([status, body], [409, { error: "a\nb", ...answer }]);
});

Deno.test("a reload is an order: it needs the token, comes from no other web page, and has no other parameter", async () => {
  assertEquals((await post("", { access: "none" })).status, 403);
  assertEquals((await post("", { access: { token: "t" } })).status, 401);
  assertEquals((await post("", { headers: { origin: "http://evil.example" } })).status, 403);
  const { status, orders } = await post("?service=shop");
  assertEquals([status, orders], [400, []]);
});
