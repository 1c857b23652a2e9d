import { assert, assertEquals, assertThrows } from "@std/assert";
import { asEtcdError, failureOf, headerOf, isTokenOver, mayPass, refusal } from "./answer.ts";
import { EtcdError } from "./etcd.ts";

const NO_LEADER = { code: 14, message: "etcdserver: no leader" };

Deno.test("failureOf() reads errors as etcd 3.4, 3.5 and 3.6 write them, also in a stream", () => {
  assertEquals(failureOf({ error: "etcdserver: no leader", ...NO_LEADER }, 503), NO_LEADER);
  assertEquals(failureOf(NO_LEADER, 503), NO_LEADER);
  assertEquals(failureOf(NO_LEADER, 200), NO_LEADER);
  const stream = { grpc_code: 14, http_code: 503, message: NO_LEADER.message };
  assertEquals(failureOf({ error: stream }, 200), NO_LEADER);
  assertEquals(failureOf({ error: NO_LEADER }, 200), NO_LEADER);
  assertEquals(failureOf({}, 502), { code: 0, message: "HTTP status 502" });
  assertEquals(failureOf({ header: {} }, 200), undefined);
});

Deno.test("headerOf() wants the header of etcd", () => {
  assertEquals(headerOf({ header: { cluster_id: "7" } }), { cluster_id: "7" });
  for (const answer of [{}, { header: {} }, { header: { revision: "3" } }]) {
    assertThrows(() => headerOf(answer), EtcdError, "no header");
  }
});

Deno.test("errors of a moment, of a token and of a lease are told from others", () => {
  assert(mayPass(NO_LEADER) && mayPass({ code: 0, message: "" }));
  assert(!mayPass({ code: 7, message: "permission denied" }));
  assert(isTokenOver({ code: 16, message: "" }));
  assert(isTokenOver({ code: 3, message: "etcdserver: invalid auth token" }));
  assert(!isTokenOver({ code: 3, message: "etcdserver: key is not provided" }));
  assertEquals(
    refusal({ code: 5, message: "etcdserver: requested lease not found" }).kind,
    "leaseGone",
  );
  assertEquals(refusal({ code: 7, message: "permission denied" }).kind, "refused");
  assertEquals(asEtcdError(new TypeError("a\n b")).message, "a b");
});
