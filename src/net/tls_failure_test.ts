import { assertEquals } from "@std/assert";
import { tlsDetail, TlsFailure } from "./tls_failure.ts";

Deno.test("only what TLS has found wrong has words of its own", () => {
  assertEquals(tlsDetail(new TlsFailure("it may have been cut")), "it may have been cut");
  assertEquals([tlsDetail(new Error("reset")), tlsDetail(undefined)], [undefined, undefined]);
});
