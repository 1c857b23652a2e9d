import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { RequestIds } from "./request_id.ts";
import { headOf } from "./testing/fake_client.ts";

function idOf(lines: string, ids = new RequestIds()): string {
  return ids.of(headOf(`GET / HTTP/1.1\r\nHost: a.test\r\n${lines}\r\n`).fields);
}

const MADE = /^[0-9a-f]{24}$/;

Deno.test("an id that is short and harmless is kept", () => {
  for (
    const id of ["a", "550e8400-e29b-41d4-a716-446655440000", "1-67891233:abc=_~", "x".repeat(128)]
  ) {
    assertEquals(idOf(`X-Request-ID: ${id}\r\n`), id);
  }
});

Deno.test("any other id is replaced, and a missing one is made", () => {
  const others = ["", "x".repeat(129), "a b", "a\tb", '"', "<a>", "a;b", "ä", "$(id)", "a/b"];
  for (const id of others) assertMatch(idOf(`X-Request-Id: ${id}\r\n`), MADE);
  assertMatch(idOf("X-Request-Id: a\r\nX-Request-Id: b\r\n"), MADE);
  assertMatch(idOf(""), MADE);
});

Deno.test("no two made ids are equal", () => {
  const ids = new RequestIds();
  assertNotEquals(idOf("", ids), idOf("", ids));
  assertNotEquals(idOf(""), idOf(""));
});
