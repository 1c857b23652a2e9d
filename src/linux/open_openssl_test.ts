import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { closeOpenSsl, cString, openOpenSsl, takeReason, textAt } from "./open_openssl.ts";
import { opensslTest } from "./testing/tls_pair.ts";

opensslTest("the library is opened once for all users, and closed by the last of them", () => {
  const first = openOpenSsl();
  const second = openOpenSsl();
  assertStrictEquals(first, second);
  closeOpenSsl();
  assert(second.crypto.OpenSSL_version_num() >= 0x3000_0000n); // it is still open
  closeOpenSsl();
  closeOpenSsl(); // once too often has no effect
  const third = openOpenSsl();
  assert(third !== first);
  closeOpenSsl();
});

opensslTest("errors are told in words, once, and text comes back as it went in", () => {
  const library = openOpenSsl();
  assertEquals(takeReason(library), "");
  library.ssl.SSL_CTX_new(null);
  assertEquals([takeReason(library), takeReason(library)], ["null ssl method passed", ""]);
  assertEquals(textAt(Deno.UnsafePointer.of(cString("déjà"))), "déjà");
  assertEquals(textAt(null), "");
  closeOpenSsl();
});
