import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { fingerprint } from "./fingerprint.ts";
import { tcpOf } from "./testing/config.ts";

function of(...args: string[]): string {
  return fingerprint(tcpOf(["--hosts", "a:1,b:1", "--bind", "127.0.0.1:9", ...args]));
}

Deno.test("the same options have the same fingerprint, wherever they come from", () => {
  assertMatch(of(), /^[0-9a-f]{16}$/);
  assertEquals(of(), of("--fail-threshold", "3"));
  assertNotEquals(of(), of("--fail-threshold", "4"));
});
