import { assertEquals } from "@std/assert";
import { Fault, type FaultName, FAULTS } from "../base/fault.ts";
import { connectEvidence, exchangeEvidence } from "./evidence.ts";

Deno.test("a fault of this machine gives no verdict, every other fault is evidence", () => {
  for (const name of Object.keys(FAULTS) as FaultName[]) {
    const isOurs = FAULTS[name].side === "proxy";
    const fault = new Fault(name);
    assertEquals([name, connectEvidence(fault) === "no_verdict"], [name, isOurs]);
    assertEquals([name, exchangeEvidence(fault) === "no_verdict"], [name, isOurs]);
  }
});

Deno.test("a connection that is turned away is refused, a bad answer denied, and no answer silent", () => {
  const kinds: readonly FaultName[] = ["connectRefused", "tlsFailed", "connectTimeout"];
  assertEquals(kinds.map((name) => connectEvidence(new Fault(name))), [
    "refused",
    "denied",
    "silent",
  ]);
  assertEquals(exchangeEvidence(new Fault("badResponse")), "denied");
  assertEquals(exchangeEvidence(new Fault("responseTimeout")), "silent");
});
