import { assertEquals } from "@std/assert";
import type { ProbeResult } from "../failover/ports.ts";
import { BUSY_MS, guardStandstill } from "./standstill.ts";
import { PROBE_CONTEXT, upstreamsOf } from "../failover/testing/results.ts";

const upstream = upstreamsOf("a")[0]!;
const { signal } = new AbortController();

async function judged(evidence: ProbeResult["evidence"], tookMs: number): Promise<ProbeResult> {
  const result = { passed: evidence === "passed", tookMs, reason: "as it was", evidence };
  return await guardStandstill(() => Promise.resolve(result), 500)(upstream, PROBE_CONTEXT, signal);
}

Deno.test("silence gives no verdict when this process itself stood still", async () => {
  assertEquals(await judged("silent", 500 + BUSY_MS + 1_500), {
    passed: false,
    tookMs: 500 + BUSY_MS + 1_500,
    reason: "this process stood still for 2.5s",
    evidence: "no_verdict",
  });
});

Deno.test("silence that ends at its deadline is silence, also on a busy machine", async () => {
  for (const tookMs of [500, 500 + BUSY_MS]) {
    assertEquals((await judged("silent", tookMs)).evidence, "silent");
  }
});

Deno.test("an answer that arrived in time counts, however late it is read", async () => {
  for (const evidence of ["passed", "refused", "denied", "no_verdict"] as const) {
    const result = await judged(evidence, 60_000);
    assertEquals([result.evidence, result.reason], [evidence, "as it was"]);
  }
});
