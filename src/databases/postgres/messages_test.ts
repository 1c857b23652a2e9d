import { assertEquals, assertThrows } from "@std/assert";
import { Fault } from "../../base/fault.ts";
import {
  MESSAGE_MAX_BYTES,
  password,
  postgresComplaint,
  PostgresFramer,
  postgresQuery,
  rowOf,
  saslInitial,
  saslResponse,
  sslRequest,
  startup,
  terminate,
} from "./messages.ts";

const TEXT = new TextEncoder();

/** A message of a server. */
function message(type: string, body: string | Uint8Array): Uint8Array {
  const bytes = typeof body === "string" ? TEXT.encode(body) : body;
  const whole = new Uint8Array(5 + bytes.length);
  whole[0] = type.charCodeAt(0);
  new DataView(whole.buffer).setUint32(1, 4 + bytes.length);
  whole.set(bytes, 5);
  return whole;
}

Deno.test("messages are found in any division of the bytes", () => {
  const all = new Uint8Array([
    ...message("Z", "I"),
    ...message("C", "SELECT 1\0"),
    ...message("1", ""),
  ]);
  for (let size = 1; size <= all.length; size++) {
    const framer = new PostgresFramer();
    const found: string[] = [];
    for (let at = 0; at < all.length; at += size) {
      for (const { type, body } of framer.push(all.slice(at, at + size))) {
        found.push(type + new TextDecoder().decode(body));
      }
    }
    assertEquals(found, ["ZI", "CSELECT 1\0", "1"]);
  }
});

Deno.test("what is no message, or too long, is a fault at once", () => {
  const long = message("D", "");
  new DataView(long.buffer).setUint32(1, MESSAGE_MAX_BYTES + 1);
  const short = message("D", "");
  new DataView(short.buffer).setUint32(1, 3);
  for (const bytes of [long, short, TEXT.encode("HTTP/1.1 400 Bad"), message("\n", "x")]) {
    const error = assertThrows(() => new PostgresFramer().push(bytes), Fault);
    assertEquals(error.fault, "badResponse");
  }
});

Deno.test("an error has its code and its text in one short line", () => {
  const body = TEXT.encode(`SFATAL\0C57P03\0Mstarting\n up${"x".repeat(300)}\0\0`);
  const { code, text } = postgresComplaint(body);
  assertEquals([code, text.length, text.slice(0, 12)], ["57P03", 200, "starting  up"]);
  assertEquals(postgresComplaint(TEXT.encode("\0")), { code: "", text: "an error" });
  assertThrows(() => postgresComplaint(TEXT.encode("Mno end")), Fault);
  assertThrows(() => postgresComplaint(TEXT.encode("Mtext\0")), Fault);
});

Deno.test("a row has texts and nulls", () => {
  const body = new Uint8Array([0, 2, 0, 0, 0, 1, 97, 0xff, 0xff, 0xff, 0xff]);
  assertEquals(rowOf(body), ["a", null]);
  assertThrows(() => rowOf(body.subarray(0, 8)), Fault);
});

Deno.test("our messages have the form of the documentation", () => {
  const text = (bytes: Uint8Array) => new TextDecoder("latin1").decode(bytes);
  assertEquals(text(sslRequest()), "\0\0\0\x08\x04\xd2\x16\x2f");
  assertEquals(text(startup({ user: "a" })), "\0\0\0\x10\0\x03\0\0user\0a\0\0");
  assertEquals(text(postgresQuery("x")), "Q\0\0\0\x06x\0");
  assertEquals(text(password("pw")), "p\0\0\0\x07pw\0");
  assertEquals(text(terminate()), "X\0\0\0\x04");
  assertEquals(text(saslInitial("M", "n,,")), "p\0\0\0\x0dM\0\0\0\0\x03n,,");
  assertEquals(text(saslResponse("c=")), "p\0\0\0\x06c=");
});
