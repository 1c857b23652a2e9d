import { assertEquals } from "@std/assert";
import { Fault, type FaultName, FAULTS } from "../base/fault.ts";
import { connectEvidence, exchangeEvidence } from "./evidence.ts";

Deno.test("a fault of this machine is no evidence, a fault of anybody else is some", () => {
  for (const name of Object.keys(FAULTS) as FaultName[]) {
    const isOurs = FAULTS[name].side === "proxy";
    const fault = new Fault(name);
    assertEquals([name, connectEvidence(fault) === "no_verdict"], [name, isOurs]);
    assertEquals([name, exchangeEvidence(fault) === "no_verdict"], [name, isOurs]);
  }
});

Deno.test("who turns a connection away is refused, who answers badly denied, who is mute silent", () => {
  const kinds: readonly FaultName[] = ["connectRefused", "tlsFailed", "connectTimeout"];
  assertEquals(kinds.map((name) => connectEvidence(new Fault(name))), [
    "refused",
    "denied",
    "silent",
  ]);
  assertEquals(exchangeEvidence(new Fault("badResponse")), "denied");
  assertEquals(exchangeEvidence(new Fault("responseTimeout")), "silent");
});
