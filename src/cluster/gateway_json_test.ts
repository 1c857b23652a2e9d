import { assertEquals, assertThrows } from "@std/assert";
import { EtcdError } from "./etcd.ts";
import { decode64, encode64, numberIn, objectIn, prefixEnd, textIn } from "./gateway_json.ts";

Deno.test("encode64() and decode64() are inverse, also for text outside ASCII", () => {
  assertEquals(encode64("größer"), "Z3LDtsOfZXI=");
  assertEquals(decode64("Z3LDtsOfZXI="), "größer");
  assertThrows(() => decode64("%"), EtcdError);
});

Deno.test("prefixEnd() ends a prefix, and takes no text that is none", () => {
  assertEquals(decode64(prefixEnd("/a/b/")), "/a/b0");
  assertThrows(() => prefixEnd("/a/b"));
});

Deno.test("textIn() and numberIn() take the default for a field that is left out", () => {
  assertEquals([textIn({}, "ID"), numberIn({}, "TTL")], ["", 0]);
  assertEquals([textIn({ ID: "7" }, "ID"), numberIn({ TTL: "10" }, "TTL")], ["7", 10]);
  assertThrows(() => numberIn({ TTL: "ten" }, "TTL"), EtcdError);
  assertThrows(() => numberIn({ TTL: "9223372036854775807" }, "TTL"), EtcdError);
  assertThrows(() => textIn({ ID: 7 }, "ID"), EtcdError);
  assertThrows(() => objectIn([]), EtcdError);
});
