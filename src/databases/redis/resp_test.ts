import { assertEquals, assertThrows } from "@std/assert";
import { Fault } from "../../base/fault.ts";
import { command, RedisError, type RedisReply, RespFramer } from "./resp.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("replies are found in any division of the bytes", () => {
  const text =
    "+OK\r\n$5\r\na\r\nbc\r\n*3\r\n:-7\r\n$-1\r\n*2\r\n+x\r\n*0\r\n-ERR no\r\n*-1\r\n$0\r\n\r\n";
  const expected: RedisReply[] = [
    "OK",
    "a\r\nbc",
    [-7, null, ["x", []]],
    new RedisError("ERR no"),
    null,
    "",
  ];
  for (let size = 1; size <= text.length; size++) {
    const framer = new RespFramer();
    const found: RedisReply[] = [];
    for (let at = 0; at < text.length; at += size) {
      found.push(...framer.push(bytes(text.slice(at, at + size))));
    }
    assertEquals(found, expected);
  }
});

Deno.test("what is no reply, or has no end, is a fault at once", () => {
  const bad = [
    "HTTP/1.1 400 Bad Request\r\n",
    "+a\rb",
    "$3\r\nabcd\r\n",
    "$99999999\r\n",
    "$-2\r\n",
    ":x\r\n",
    "*100000\r\n",
    "*1\r\n".repeat(9),
    "+".padEnd(70_000, "x"),
    "*9999\r\n".repeat(2) + ":1\r\n".repeat(10_000),
  ];
  for (const text of bad) {
    const error = assertThrows(() => new RespFramer().push(bytes(text)), Fault);
    assertEquals(error.fault, "badResponse", text.slice(0, 20));
  }
});

Deno.test("an error has a code, and is one short line", () => {
  const error = new RedisError(`NOAUTH a\nb ${"x".repeat(300)}`);
  assertEquals([error.code, error.text.slice(0, 10), error.text.length], [
    "NOAUTH",
    "NOAUTH a b",
    200,
  ]);
});

Deno.test("commands are arrays of texts, whose lengths are bytes", () => {
  const text = new TextDecoder().decode(command("AUTH", "ä"));
  assertEquals(text, "*2\r\n$4\r\nAUTH\r\n$2\r\nä\r\n");
});
