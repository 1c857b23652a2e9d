import { assertEquals, assertStringIncludes } from "@std/assert";
import { ordersOf, readiness, serverWords, serviceSentence, span } from "./page_words.ts";
import { CUT_OFF } from "../failover/cluster.ts";
import { answeredAs, PASSED, REFUSED } from "../failover/testing/results.ts";
import { TestService } from "./testing/service.ts";

const SOURCE = { by: "ann", reason: "a new disk" };

Deno.test("one sentence says which upstream is active, and how serious that is", async () => {
  await using service = new TestService({ name: "db" });
  const now = () => {
    const { mood, text } = serviceSentence(service.view.state());
    return [mood, text];
  };
  assertEquals(now(), ["out", "No upstream is usable; new clients are refused"]);
  await service.start(PASSED, PASSED);
  assertEquals(now(), ["primary", "a, the primary, serves"]);
  await service.answer("a", REFUSED, 3);
  assertEquals(now()[0], "moving");
  assertStringIncludes(now()[1]!, "An upstream is being chosen (a is down: connection refused)");
  await service.answer("a", REFUSED);
  await service.answer("b", PASSED);
  assertEquals(now(), ["backup", "b, backup 1, serves"]);
  await service.answer("b", REFUSED, 4);
  await service.answer("a", REFUSED);
  assertEquals(now()[0], "out");
  assertStringIncludes(now()[1]!, "new clients wait");
});

Deno.test("a sentence says which upstream could take over, or why none could", async () => {
  await using service = new TestService();
  await service.start(PASSED, PASSED);
  assertEquals(readiness(service.view), "Yes: b");
  await service.answer("b", REFUSED, 3);
  assertEquals(readiness(service.view), "No: b: connection refused");
  service.controller.order({ name: "drain", upstream: "b" }, SOURCE);
  assertEquals(readiness(service.view), "No: b is drained");
  service.controller.order({ name: "pause" }, SOURCE);
  assertEquals(readiness(service.view), "No: the service is paused");
});

Deno.test("orders in force are shown with who gave them and why", async () => {
  await using service = new TestService();
  await service.start(PASSED, PASSED);
  assertEquals(ordersOf(service.view.state()), []);
  service.controller.order({ name: "pause" }, SOURCE);
  service.controller.order({ name: "drain", upstream: "b" }, { by: "bob", reason: "" });
  assertEquals(ordersOf(service.view.state()), [
    "Paused by ann: a new disk. No automatic decision is made.",
    "b is drained by bob.",
  ]);
});

Deno.test("a time span has its two largest units", () => {
  const spans = [0, 0.4, 450.4, 1_234, 61_000, 3_600_000, 93_784_000].map(span);
  assertEquals(spans, ["0s", "under 1ms", "450ms", "1.2s", "1m 1s", "1h", "1d 2h"]);
});

Deno.test("words say what a server says of itself, and why it could not take over", async () => {
  await using service = new TestService({
    policy: { roles: { maxLag: { seconds: 10 }, promotedBy: "us" } },
  });
  await service.start(answeredAs("primary"), answeredAs("standby", { lagBytes: 0, lagSeconds: 0 }));
  const words = (name: string) => serverWords(service.view.state(), name);
  assertEquals([words("a"), words("b")], ["primary", "standby, 0B and 0s behind"]);
  assertEquals(readiness(service.view), "Yes: b");
  await service.answer("b", answeredAs("standby", { lagSeconds: 61 }));
  assertEquals(words("b"), "standby, 1m1s behind");
  assertEquals(readiness(service.view), "No: b is up, but it is 1m1s behind (--max-lag 10s)");
  await service.answer("b", answeredAs("unknown", { reason: "password refused" }));
  assertEquals(words("b"), "role unknown: password refused");
  await service.answer("b", answeredAs("unknown", { phase: "shutting down" }));
  assertEquals(words("b"), "shutting down");
  await service.answer("b", REFUSED, 3);
  assertEquals(words("b"), undefined);
});

Deno.test("a service that lets clients through without etcd does not call its upstreams down", async () => {
  await using service = new TestService({ policy: { failOpen: true } });
  service.controller.post({ type: "coordinated", view: CUT_OFF });
  await service.start(PASSED, PASSED);
  assertEquals(
    serviceSentence(service.view.state()).text,
    "No upstream is chosen, since etcd cannot be used; clients are let through to a",
  );
});
