import { assert, assertEquals } from "@std/assert";
import { ConfigError } from "../base/config_error.ts";
import { coordinatorPlace } from "./coordinator_kind.ts";

Deno.test("coordinatorPlace reads members and the cluster, and prints them as they were", () => {
  for (const text of ["etcd://e1:2379/prod", "etcd://10.0.0.1:2379,[::1]:2379,e3:1/a.b_c-d"]) {
    const place = coordinatorPlace.read(text);
    assert(!(place instanceof ConfigError), text);
    assertEquals(coordinatorPlace.print(place), text);
  }
  assertEquals(coordinatorPlace.read("etcd://e1:2379,e2:2379/prod"), {
    members: ["e1:2379", "e2:2379"],
    cluster: "prod",
  });
});

Deno.test("coordinatorPlace refuses what is no place, and what looks like a secret in it", () => {
  const bad = [
    ...["e1:2379", "http://e1:2379/prod", "etcd://e1/prod", "etcd://e1:2379", "etcd://e1:2379/"],
    ...["etcd://e1:2379/a/b", "etcd:///prod", "etcd://u:p@e1:2379/prod", "etcd://e1:2379/-"],
    ...["etcd://unix:/run/etcd/prod", "etcd://e1:99999/prod", "etcd://e1:2379,/prod"],
    `etcd://${Array.from({ length: 17 }, (_, index) => `e${index}:1`).join(",")}/prod`,
    "etcd://e1:2379,e2:2379,E1:2379/prod",
  ];
  for (const text of bad) assert(coordinatorPlace.read(text) instanceof ConfigError, text);
  const twice = coordinatorPlace.read("etcd://e1:2379,e1:2379/prod");
  assertEquals(twice instanceof ConfigError && twice.found, '"e1:2379" twice');
  assert(!(coordinatorPlace.read("etcd://e1:2379,e1:2380/prod") instanceof ConfigError));
});
