import { assertEquals, assertStringIncludes } from "@std/assert";
import { answerWithPage, failoverValue, RETRY_AFTER_S } from "./answers.ts";
import { FakeClient } from "./testing/fake_client.ts";

const PAGE = { contentType: "text/plain", bytes: new TextEncoder().encode("back soon") };

Deno.test("the Failover header names the upstream's role, the attempt and the reason", () => {
  assertEquals(failoverValue("primary", 1, undefined), "upstream=primary; attempt=1");
  assertEquals(
    failoverValue("backup", 2, "connectRefused"),
    "upstream=backup; attempt=2; reason=connect-refused",
  );
});

Deno.test("our own responses are not cached, and a 503 has Retry-After", async () => {
  for (const [status, reason] of [[503, "Service Unavailable"], [502, "Bad Gateway"]] as const) {
    const client = new FakeClient();
    await answerWithPage(client, status, {
      ...PAGE,
      failover: "upstream=none; attempt=1",
      requestId: undefined,
      hsts: undefined,
    });
    const [head, body] = client.answered.split("\r\n\r\n");
    const lines = head!.trim().split("\r\n");
    assertStringIncludes(lines[0]!, `${status} ${reason}`);
    assertEquals(lines.slice(1).filter((line) => line.startsWith("Retry-After")), [
      ...status === 503 ? [`Retry-After: ${RETRY_AFTER_S}`] : [],
    ]);
    assertEquals(lines.includes("Cache-Control: no-store"), true);
    assertEquals(lines.includes("Failover: upstream=none; attempt=1"), true);
    assertStringIncludes(body ?? client.answered, "back soon");
  }
});
