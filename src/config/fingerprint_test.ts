import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { configFingerprint, fingerprint } from "./fingerprint.ts";
import { configOf, tcpOf } from "./testing/config.ts";

function of(...args: string[]): string {
  return fingerprint(tcpOf(["--hosts", "a:1,b:1", "--bind", "127.0.0.1:9", ...args]));
}

Deno.test("the same options have the same fingerprint, wherever they come from", () => {
  assertMatch(of(), /^[0-9a-f]{16}$/);
  assertEquals(of(), of("--fail-threshold", "3"));
  assertNotEquals(of(), of("--fail-threshold", "4"));
});

Deno.test("the fingerprint of a config changes with each option, of the process or of a service", () => {
  const all = (...args: string[]) =>
    configFingerprint(configOf(["--hosts", "a:1,b:1", "--bind", "127.0.0.1:9", ...args]));
  assertEquals(all(), all("--log-level", "info"));
  assertNotEquals(all(), all("--log-level", "warn"));
  assertNotEquals(all(), all("--fail-threshold", "4"));
});
