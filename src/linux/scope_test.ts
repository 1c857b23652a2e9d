/** Interfaces that are named by their number. */
import { assertEquals } from "@std/assert";
import { numberScope } from "./scope.ts";

const index = (name: string) => name === "eth0" ? 7 : 0;

Deno.test("an interface may be named by its number", () => {
  assertEquals(numberScope("fe80::1%eth0", index), "fe80::1%7");
  assertEquals(numberScope("fe80::1%3", index), "fe80::1%3");
  assertEquals(numberScope("::1", index), "::1");
  assertEquals(numberScope("fe80::1%gone0", index), undefined);
});

Deno.test({
  name: "the loopback interface has its number, and an interface that does not exist has none",
  ignore: Deno.build.os !== "linux",
  fn() {
    assertEquals(numberScope("fe80::1%lo"), "fe80::1%1");
    assertEquals(numberScope("fe80::1%no-such-interface"), undefined);
  },
});
