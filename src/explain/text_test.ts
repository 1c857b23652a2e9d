/** An explanation as text and as JSON. */
import { assertEquals } from "@std/assert";
import type { Explanation } from "./explain.ts";
import { explanationJson, explanationText } from "./text.ts";

const SERVICE: Explanation = {
  service: "orders",
  mode: "tcp",
  faults: [
    {
      name: "silent",
      meaning: "nothing answers",
      terms: [{ what: "next check", worstMs: 2_100, usualMs: 1_004 }],
      worstMs: Infinity,
      usualMs: 1_004,
    },
    {
      name: "hung",
      meaning: "it accepts only",
      terms: [],
      worstMs: Infinity,
      usualMs: Infinity,
      note: "use check-host",
    },
  ],
  traps: ["no client may wait"],
};

Deno.test("each fault has its sum and its terms, and a fault that causes no failover says so", () => {
  assertEquals(explanationText([SERVICE]).split("\n"), [
    "orders (tcp): how long until clients are served again",
    "",
    "silent: usually 1s, at worst no limit (nothing answers)",
    "        1s       2.1s  next check",
    "",
    "hung: no failover (it accepts only)",
    "  note: use check-host",
    "",
    "trap: no client may wait",
  ]);
  const none = explanationText([{ ...SERVICE, faults: [], traps: [] }, SERVICE]).split("\n");
  assertEquals(none.slice(1, 4), ["", "no traps found", ""]);
});

Deno.test("in JSON a time without a limit is null", () => {
  const [{ faults: [silent] }] = JSON.parse(explanationJson([SERVICE]));
  assertEquals([silent.worstMs, silent.usualMs], [null, 1_004]);
});
