import { assertEquals } from "@std/assert";
import { lineOf } from "./go_client.ts";

Deno.test("a line of the report says what became of the requests, and the first errors", () => {
  const outcome = { done: 998, failed: 2, connections: 3, goAways: 1, errors: ["one", "two"] };
  assertEquals(
    lineOf("get", outcome),
    "get: 998 done, 2 failed, 3 connections, 1 GOAWAY\n  one\n  two",
  );
  assertEquals(
    lineOf("get", { ...outcome, failed: 0, errors: null }),
    "get: 998 done, 0 failed, 3 connections, 1 GOAWAY",
  );
});
