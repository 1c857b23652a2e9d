import { assertEquals } from "@std/assert";
import type { Probe, ProbeResult } from "../failover/ports.ts";
import { allOf } from "./all_of.ts";
import { PROBE_CONTEXT, upstreamsOf } from "../failover/testing/results.ts";

const upstream = upstreamsOf("a")[0]!;
const { signal } = new AbortController();

/** A probe with a fixed result that records its calls. */
function answer(result: Omit<ProbeResult, "tookMs">, asked: string[] = []): Probe {
  return (...question) => {
    assertEquals(question, [upstream, PROBE_CONTEXT, signal]);
    asked.push(result.reason);
    return Promise.resolve({ ...result, tookMs: 10 });
  };
}

const connects = { passed: true, reason: "connected", evidence: "passed" } as const;
const denies = { passed: false, reason: "in recovery", evidence: "denied" } as const;
const refuses = { passed: false, reason: "refused", evidence: "refused" } as const;

Deno.test("joined probes pass when all pass, and take the time of all", async () => {
  const probe = allOf(answer(connects), answer({ ...connects, reason: "check passed" }));
  assertEquals(await probe(upstream, PROBE_CONTEXT, signal), {
    ...connects,
    reason: "check passed",
    tookMs: 20,
  });
});

Deno.test("joined probes end with the first failure and run no further probe", async () => {
  const asked: string[] = [];
  const probe = allOf(answer(connects, asked), answer(denies, asked), answer(refuses, asked));
  assertEquals(await probe(upstream, PROBE_CONTEXT, signal), { ...denies, tookMs: 20 });
  assertEquals(asked, ["connected", "in recovery"]);
});
