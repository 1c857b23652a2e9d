/** Error numbers: their descriptions, and what they mean. */
import { assert, assertEquals } from "@std/assert";
import {
  connectFaultOf,
  connectShortageWords,
  EADDRNOTAVAIL,
  EAGAIN,
  ECONNREFUSED,
  ECONNRESET,
  EMFILE,
  ENOENT,
  ENOMEM,
  errnoWords,
  isShortageErrno,
} from "./errno.ts";

Deno.test("a known number has a description, an unknown one is shown as a number", () => {
  assertEquals([errnoWords(-EMFILE), errnoWords(-9_999)], ["too many open files", "error 9999"]);
});

Deno.test("a failed connect means what the common table says", () => {
  assertEquals(connectFaultOf(-ECONNREFUSED), "connectRefused");
  assertEquals(connectFaultOf(-ENOENT), "connectRefused");
  assertEquals(connectFaultOf(-EAGAIN), "connectTimeout");
  assertEquals(connectFaultOf(-EMFILE), "localShortage");
  assertEquals(connectFaultOf(-9_999), "connectFailed");
  assert(connectShortageWords(-EADDRNOTAVAIL).includes("port"));
});

Deno.test("only exhausted resources of this machine are a shortage, and success is not", () => {
  for (const result of [-EMFILE, -ENOMEM]) assert(isShortageErrno(result), `${result}`);
  for (const result of [0, 7, -ECONNRESET, -9_999]) assert(!isShortageErrno(result), `${result}`);
});
