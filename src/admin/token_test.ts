import { assertEquals } from "@std/assert";
import { isSame } from "./token.ts";

Deno.test("secrets are equal only if each character is", async () => {
  assertEquals(await isSame("secret", "secret"), true);
  for (const other of ["secre", "secret2", "Secret", ""]) {
    assertEquals(await isSame(other, "secret"), false, other);
  }
});
