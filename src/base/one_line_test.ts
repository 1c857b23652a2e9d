/** Text from outside as one line. */
import { assertEquals } from "@std/assert";
import { oneLine } from "./one_line.ts";

Deno.test("control characters and line separators become spaces, one for each run of them", () => {
  assertEquals(oneLine("a\nb\r\n\u001b[2Jc\u2028d\u0085e\0"), "a b [2Jc d e ");
  assertEquals(oneLine("Grüße, 世界 🙂"), "Grüße, 世界 🙂");
});
