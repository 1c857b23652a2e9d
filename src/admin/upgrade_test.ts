import { assertEquals } from "@std/assert";
import { Hono } from "hono";
import { answerUpgrade, type UpgradeAnswer, type UpgradeOrder } from "./upgrade.ts";

/** Sends a POST; the process answers with `answer`. */
async function post(query: string, answer: UpgradeAnswer, headers: Record<string, string> = {}) {
  const orders: UpgradeOrder[] = [];
  const app = new Hono();
  const upgrade = (order: UpgradeOrder) => {
    orders.push(order);
    return Promise.resolve(answer);
  };
  app.post("/upgrade", (c) => answerUpgrade(c, upgrade, "ann"));
  const response = await app.request(`/upgrade${query}`, { method: "POST", headers });
  return { status: response.status, body: await response.json(), orders };
}

const FROM = { version: "1.0.0", pid: 41 };
const TO = { version: "2.0.0", pid: 42 };

Deno.test("an upgrade is answered with both processes, or with the lines that say why not", async () => {
  const done = await post("?path=/opt/new&wait=true", { from: FROM, to: TO, tookMs: 12.3 });
  assertEquals(done, {
    status: 200,
    body: { outcome: "finished", from: FROM, to: TO, took_ms: 12 },
    orders: [{ by: "ann", path: "/opt/new" }],
  });
  const refused = await post("", { lines: ["one", "two"] });
  assertEquals(refused, {
    status: 409,
    body: { error: "one; two", outcome: "refused", lines: ["one", "two"] },
    orders: [{ by: "ann", path: undefined }],
  });
});

Deno.test("a relative path, an unknown parameter and a web page upgrade nothing", async () => {
  const wrong: readonly (readonly [string, Record<string, string>, number])[] = [
    ["?path=new", {}, 400],
    ["?path=/a%00b", {}, 400],
    [`?path=/${"a".repeat(4_095)}`, {}, 400],
    ["?paht=/opt/new", {}, 400],
    ["", { origin: "http://example.com" }, 403],
  ];
  for (const [query, headers, status] of wrong) {
    const { orders, ...answer } = await post(query, { lines: [] }, headers);
    assertEquals([answer.status, orders], [status, []], query);
  }
});
