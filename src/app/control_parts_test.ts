import { assertEquals, assertNotEquals } from "@std/assert";
import { tcpOf } from "../config/testing/config.ts";
import { hasSameTriggers, paceOf, policyOf, probeKeyOf, probeMaxOf } from "./control_parts.ts";

const BARE = ["--hosts", "a:1,b:1", "--bind", "127.0.0.1:9"];
const CONTEXT = { instance: "i", drainMs: 7 };
const PARTS = { triggers: "before", failOpen: false } as const;

function of(...args: string[]) {
  return tcpOf([...BARE, ...args]);
}

Deno.test("sessions of a service with a program are cut at a move, unless an option says otherwise", () => {
  const policyWith = (...args: string[]) => policyOf(of(...args), PARTS, CONTEXT).sessionsOnMove;
  assertEquals(policyWith(), "drain");
  assertEquals(policyWith("--on-failover", "/p"), "cut");
  assertEquals(policyWith("--check-host", "/c", "--sessions-on-move", "keep"), "keep");
});

Deno.test("a check is another one if what it does has changed, and not if it is made at another time", () => {
  const key = probeKeyOf(of());
  assertEquals(probeKeyOf(of("--check-interval", "9s", "--fail-threshold", "9")), key);
  for (const other of [["--check-timeout", "9s"], ["--check-host", "/c"]]) {
    assertNotEquals(probeKeyOf(of(...other)), key);
  }
  assertEquals(paceOf(of("--check-interval", "9s")).steadyMs, 9_000);
  assertEquals(
    probeMaxOf(of("--check-timeout", "9s")) - probeMaxOf(of("--check-timeout", "8s")),
    1_000,
  );
});

Deno.test("triggers are other ones with another program, time-out or answer to a failure", () => {
  const one = of("--on-failover", "/p");
  assertEquals(hasSameTriggers(one, of("--on-failover", "/p", "--grace", "9s")), true);
  for (
    const other of [["--trigger-timeout", "9s"], ["--on-trigger-failure", "retry"]]
  ) assertEquals(hasSameTriggers(one, of("--on-failover", "/p", ...other)), false);
  assertEquals(hasSameTriggers(one, of("--on-failover", "/q")), false);
});

Deno.test("roles count only for a check that asks a database, and options say who promotes", () => {
  const rolesWith = (...args: string[]) => policyOf(of(...args), PARTS, CONTEXT).roles;
  assertEquals("roles" in policyOf(of("--max-lag=1KB"), PARTS, CONTEXT), false);
  assertEquals(rolesWith("--check=mysql"), { maxLag: undefined, promotedBy: "others" });
  assertEquals(rolesWith("--check=mysql", "-f", "x")?.promotedBy, "trigger");
  assertEquals(rolesWith("--check=redis", "--promote", "-f", "x", "--max-lag=1KB"), {
    maxLag: { bytes: 1_024 },
    promotedBy: "us",
  });
  assertEquals(policyOf(of("--check=redis"), PARTS, CONTEXT).sessionsOnMove, "cut");
});
