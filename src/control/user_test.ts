import { assertEquals } from "@std/assert";
import { describeUser, userName } from "./user.ts";

const PASSWD = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbroken\n";

Deno.test("a user is found by number", () => {
  assertEquals([userName(PASSWD, 1000), userName(PASSWD, 7)], ["ann", undefined]);
  assertEquals(describeUser({ uid: 1000, pid: 42 }, () => PASSWD), "ann (uid 1000, pid 42)");
});

Deno.test("a user without a name is a number", () => {
  assertEquals(describeUser({ uid: 7, pid: 42 }, () => PASSWD), "uid 7, pid 42");
  const fails = () => {
    throw new Deno.errors.NotFound();
  };
  assertEquals(describeUser({ uid: 7, pid: 42 }, fails), "uid 7, pid 42");
});
