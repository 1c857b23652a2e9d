import { assertEquals } from "@std/assert";
import { choose } from "./candidate.ts";
import type { ProbeResult } from "./ports.ts";
import { upstreamsOf } from "./testing/results.ts";

const UPSTREAMS = upstreamsOf("a", "b", "c");
const YES: ProbeResult = { passed: true, tookMs: 1, reason: "connected", evidence: "passed" };
const NO: ProbeResult = { passed: false, tookMs: 1, reason: "refused", evidence: "refused" };

function chosen(answers: Record<string, ProbeResult>, suspects: readonly string[] = []): string {
  const choice = choose(UPSTREAMS, new Map(Object.entries(answers)), new Set(suspects));
  return choice.found === "candidate" ? choice.upstream.name : choice.found;
}

Deno.test("the first in order that passed is chosen", () => {
  assertEquals(chosen({ a: YES, b: YES, c: YES }), "a");
  assertEquals(chosen({ a: NO, b: YES, c: YES }), "b");
});

Deno.test("a better rank that has not answered yet is waited for", () => {
  assertEquals(chosen({ b: YES }), "pending");
});

Deno.test("a worse rank that has not answered yet is not waited for", () => {
  assertEquals(chosen({ a: NO, b: YES }), "b");
});

Deno.test("an upstream that was down is not waited for while another may still pass", () => {
  assertEquals(chosen({ b: YES }, ["a"]), "b");
  assertEquals(chosen({ a: YES }, ["a"]), "pending");
});

Deno.test("an upstream that was down is chosen when all others have failed", () => {
  assertEquals(chosen({ a: YES, b: NO, c: NO }, ["a"]), "a");
});

Deno.test("a round in which every upstream failed finds none", () => {
  assertEquals(chosen({ a: NO, b: NO, c: NO }), "none");
  assertEquals(chosen({ a: NO, b: NO }), "pending");
});
