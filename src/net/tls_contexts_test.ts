import { assertEquals, assertStrictEquals } from "@std/assert";
import { realClock } from "../base/clock.ts";
import { opensslTest } from "../linux/testing/tls_pair.ts";
import { TlsContexts, tlsPeer } from "./tls_contexts.ts";

opensslTest(
  "what upstreams have in common is made once for each service, and again after the end",
  () => {
    const contexts = new TlsContexts();
    const [one, two] = [{ systemCerts: [] }, { systemCerts: undefined }];
    assertStrictEquals(contexts.of({ systemCerts: [] }), contexts.of(one));
    const first = contexts.of(one);
    assertStrictEquals(contexts.of(one), first);
    assertEquals(contexts.of(two) === first, false);
    contexts.close();
    assertEquals([first.isOver, contexts.of(one).isOver], [true, false]);
    contexts.close();
  },
);

Deno.test("what is verified is the name that was given, or the host itself", () => {
  const options = { hostname: "::1", port: 1, clock: realClock, connectMs: 1 };
  assertEquals(tlsPeer(options), { hostname: "::1", port: 1, isIp: true });
  const named = { ...options, tls: { serverName: "up.test" } };
  assertEquals(tlsPeer(named), { hostname: "up.test", port: 1, isIp: false });
});
