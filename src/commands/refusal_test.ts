import { assertEquals } from "@std/assert";
import { printRefusal } from "./refusal.ts";

Deno.test("a refusal is one line, and its exit code shows whether the caller or the proxy caused it", () => {
  const printed: string[] = [];
  const io = {
    out: (text: string) => printed.push(text),
    err: (text: string) => printed.push(text),
  };
  const refuse = (status: number, body: Record<string, unknown>) =>
    printRefusal({ status, body }, io, false);
  assertEquals(refuse(409, { error: "a is active already", outcome: "refused" }), 1);
  assertEquals(refuse(400, { error: "name one service", services: ["a", "b"] }), 64);
  assertEquals(refuse(500, {}), 1);
  assertEquals(printed, [
    "failover: refused: a is active already",
    "failover: name one service (services: a, b)",
    "failover: the proxy answered 500",
  ]);
});
