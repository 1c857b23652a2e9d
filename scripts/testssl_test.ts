import { assertEquals } from "@std/assert";
import { badFindings } from "./testssl.ts";

Deno.test("what is good, or not about the proxy, is no finding", () => {
  const bad = { id: "TLS1", severity: "LOW", finding: "offered" };
  const all = [
    { id: "SSLv2", severity: "OK", finding: "not offered" },
    { id: "cert_chain_of_trust", severity: "CRITICAL", finding: "self signed" },
    { id: "sessionresumption_ticket", severity: "WARN", finding: "connect problem" },
    bad,
  ];
  assertEquals(badFindings(all), [bad]);
});
