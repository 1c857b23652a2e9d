import { assertEquals } from "@std/assert";
import { family } from "./exposition.ts";

Deno.test("label values and help texts cannot break out of their line", () => {
  assertEquals(
    family("x", "gauge", "a\\b\nc", [[{ l: 'q"\\\n' }, Infinity], [{}, 1e21]]),
    '# HELP x a\\\\b\\nc\n# TYPE x gauge\nx{l="q\\"\\\\\\n"} +Inf\nx 1e+21\n',
  );
  assertEquals(family("x", "gauge", "", []), "");
});
