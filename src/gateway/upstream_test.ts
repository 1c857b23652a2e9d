import { assertEquals } from "@std/assert";
import { roleOf } from "./upstream.ts";

Deno.test("clients see the rank of an upstream and never its name", () => {
  const roles = [0, 1, 2, 9].map((rank) =>
    roleOf({ name: "db.secret.example", rank, address: { kind: "unix", path: "/x" } })
  );
  assertEquals(roles, ["primary", "backup", "backup-2", "backup-9"]);
});
