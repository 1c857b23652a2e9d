import { assertEquals, assertThrows } from "@std/assert";
import { grantOf, readingOf, revisionOf, secondsIn } from "./answer_values.ts";
import { EtcdError } from "./etcd.ts";

const header = { cluster_id: "7", revision: "3", raft_term: "1" };
const encoded = (text: string) => new TextEncoder().encode(text).toBase64();

Deno.test("readingOf() gives the keys without their prefix, and fields that are left out their default", () => {
  const kvs = [
    { key: encoded("/x/leader"), value: encoded("a"), mod_revision: "2", lease: "9" },
    { key: encoded("/x/decision"), create_revision: 1 },
  ];
  const { revision, entries } = readingOf({ header, kvs }, "/x/");
  assertEquals(revision, 3);
  assertEquals(Object.fromEntries(entries), {
    leader: { value: "a", modRevision: 2, createRevision: 0, lease: "9" },
    decision: { value: "", modRevision: 0, createRevision: 1, lease: undefined },
  });
  assertEquals(readingOf({ header }, "/x/").entries.size, 0);
  for (const kvs of [{}, [5], [[]], [{ key: 5 }], [{ key: "*" }], [{ mod_revision: "many" }]]) {
    assertThrows(() => readingOf({ header, kvs }, "/x/"), EtcdError, "not one of etcd");
  }
});

Deno.test("a lease has an identity and a length, and one that has ended has none", () => {
  assertEquals(grantOf({ header, ID: "5", TTL: "10" }), { id: "5", ttlS: 10 });
  for (
    const answer of [{}, { ID: "5" }, { TTL: "5" }, { ID: "0", TTL: "5" }, { ID: 5, TTL: "5" }]
  ) {
    assertThrows(() => grantOf(answer), EtcdError, "not one of etcd");
  }
  assertEquals([secondsIn({ TTL: "4" }), secondsIn({})], [4, 0]);
  for (const TTL of ["-1", "1.5", {}, "9".repeat(30)]) {
    assertThrows(() => secondsIn({ TTL }), EtcdError, "not one of etcd");
  }
});

Deno.test("revisionOf() is that of the header, without which an answer says nothing", () => {
  assertEquals(revisionOf({ header }), 3);
  for (const answer of [{}, { header: {} }, { header: { ...header, revision: "x" } }]) {
    assertThrows(() => revisionOf(answer), EtcdError, "not one of etcd");
  }
});
