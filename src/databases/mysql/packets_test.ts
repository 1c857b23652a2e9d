import { assertEquals, assertThrows } from "@std/assert";
import { Fault } from "../../base/fault.ts";
import { Cursor } from "../cursor.ts";
import {
  CAN,
  greetingOf,
  loginRequest,
  mysqlComplaint,
  MysqlFramer,
  mysqlQuery,
  packet,
  tlsRequest,
  variableNumber,
  variableText,
} from "./packets.ts";

const TEXT = new TextEncoder();

/** The greeting of MariaDB 10.11, as it was captured. */
const GREETING = Uint8Array.fromHex(
  "0a352e352e352d31302e31312e31392d4d617269614442002a0000006162636465666768" +
    "00fef72d0200ff81150000000000001d0000006162636465666768696a6b6c00" +
    "6d7973716c5f6e61746976655f70617373776f726400",
);

Deno.test("packets are found in any division of the bytes", () => {
  const all = new Uint8Array([...packet(0, TEXT.encode("abc")), ...packet(7, TEXT.encode("d"))]);
  for (let size = 1; size <= all.length; size++) {
    const framer = new MysqlFramer();
    const found: unknown[] = [];
    for (let at = 0; at < all.length; at += size) {
      for (const { sequence, body } of framer.push(all.slice(at, at + size))) {
        found.push([sequence, new TextDecoder().decode(body)]);
      }
    }
    assertEquals(found, [[0, "abc"], [7, "d"]]);
  }
});

Deno.test("a packet that is too long, or empty, is a fault at once", () => {
  for (const bytes of [[0, 0, 0, 0], [0xff, 0xff, 0xff, 0], [1, 0, 1, 0]]) {
    const error = assertThrows(() => new MysqlFramer().push(new Uint8Array(bytes)), Fault);
    assertEquals(error.fault, "badResponse");
  }
});

Deno.test("a greeting is read, and another first packet is a fault", () => {
  const { version, capabilities, scramble, plugin } = greetingOf(GREETING);
  assertEquals([version, plugin], ["5.5.5-10.11.19-MariaDB", "mysql_native_password"]);
  assertEquals(new TextDecoder().decode(scramble), "abcdefghabcdefghijkl");
  assertEquals([(capabilities & CAN.tls) !== 0, (capabilities & CAN.pluginAuth) !== 0], [
    false,
    true,
  ]);
  assertThrows(() => greetingOf(TEXT.encode("SSH-2.0-OpenSSH")), Fault);
  for (let length = 0; length < 50; length++) {
    assertThrows(() => greetingOf(GREETING.subarray(0, length)), Fault);
  }
});

Deno.test("an error has its number and its text, with and without SQLSTATE", () => {
  const at = (text: string) => mysqlComplaint(TEXT.encode(`\x7f\x15\x04${text}`));
  assertEquals(at("#28000Access denied"), { code: 1045, text: "Access denied" });
  assertEquals(at("Too many\nconnections"), { code: 1045, text: "Too many connections" });
  assertThrows(() => mysqlComplaint(new Uint8Array([0xff])), Fault);
});

Deno.test("numbers and texts of variable length", () => {
  const number = (...bytes: number[]) => variableNumber(new Cursor(new Uint8Array(bytes)));
  assertEquals([number(250), number(0xfb), number(0xfc, 1, 1)], [250, null, 257]);
  assertEquals([number(0xfd, 1, 0, 1), number(0xfe, 1, 0, 0, 0, 1, 0, 0, 0)], [65537, 2 ** 32 + 1]);
  assertThrows(() => number(0xff), Fault);
  assertEquals(variableText(new Cursor(TEXT.encode("\x02ab"))), "ab");
  assertThrows(() => variableText(new Cursor(TEXT.encode("\x03ab"))), Fault);
});

Deno.test("our packets have the form of the documentation", () => {
  const text = (bytes: Uint8Array) => new TextDecoder("latin1").decode(bytes);
  assertEquals(tlsRequest(CAN.tls).length, 32);
  const login = { user: "me", answer: new Uint8Array([1, 2]), plugin: "p" };
  assertEquals(text(loginRequest(CAN.protocol41, login).subarray(32)), "me\0\x02\x01\x02p\0");
  const named = text(loginRequest(CAN.attributes, login).subarray(32));
  assertEquals(named, "me\0\x02\x01\x02p\0\x16\x0cprogram_name\x08failover");
  assertEquals(text(mysqlQuery("x")), "\x03x");
});
