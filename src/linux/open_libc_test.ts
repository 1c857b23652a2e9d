import { assert, assertStrictEquals } from "@std/assert";
import { closeLibc, openLibc } from "./open_libc.ts";

Deno.test({
  name: "the library is opened once for all users, and closed by the last of them",
  ignore: Deno.build.os !== "linux",
  fn() {
    const first = openLibc();
    const second = openLibc();
    assertStrictEquals(first, second);
    closeLibc();
    assert(second.fcntl(0, 1, 0) !== undefined); // F_GETFD: it is still open
    closeLibc();
    closeLibc(); // once too often has no effect
    assert(openLibc() !== first);
    closeLibc();
  },
});
