import { assertEquals } from "@std/assert";
import { isHost } from "./host.ts";
import { random } from "./testing/mutations.ts";

/** The same rule as a pattern. */
const HOST = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~%!$&'()*+;=]+)(?::\d{0,5})?$/;

const bytesOf = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));

function isHostText(text: string): boolean {
  // Between other bytes, which must not matter.
  const bytes = bytesOf(`[a${text}:1]`);
  return isHost(bytes, 2, 2 + text.length);
}

Deno.test("a host is a name or an address, and perhaps a port", () => {
  for (const host of ["a", "front.test:8080", "a:", "[::1]", "[2001:db8::1]:443", "192.0.2.1"]) {
    assertEquals([host, isHostText(host)], [host, true]);
  }
  const refused = [
    "",
    ":80",
    "a:123456",
    "a:b",
    "user@a",
    "a,b",
    "a b",
    "[::1",
    "[]",
    "[::1]x",
    "a/b",
  ];
  for (const host of refused) assertEquals([host, isHostText(host)], [host, false]);
});

Deno.test("a text is a host if and only if the pattern matches", () => {
  const next = random(7);
  const CHARS = "aZ09:::[[]]..-%@,/ é\x00";
  for (let round = 0; round < 20_000; round++) {
    const length = next(10);
    let text = "";
    for (let i = 0; i < length; i++) text += CHARS[next(CHARS.length)];
    assertEquals([text, isHostText(text)], [text, HOST.test(text)]);
  }
});
