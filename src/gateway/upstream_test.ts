import { assertEquals } from "@std/assert";
import { publicNameOf } from "./upstream.ts";

Deno.test("clients see the rank of an upstream and never its name", () => {
  const roles = [0, 1, 2, 9].map((rank) =>
    publicNameOf({ name: "db.secret.example", rank, address: { kind: "unix", path: "/x" } })
  );
  assertEquals(roles, ["primary", "backup", "backup-2", "backup-9"]);
});
