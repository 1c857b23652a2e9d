import { assertEquals, assertMatch } from "@std/assert";
import { describe } from "./describe.ts";

Deno.test("an error is one line with the innermost place in our own code", () => {
  const line = describe(new RangeError("too\n  long"));
  assertMatch(line, /^RangeError: too long \(src\/base\/describe_test\.ts:\d+\)$/);
});

Deno.test("an error without a place in our code, and what is no error, is described by its text", () => {
  const foreign = new Error("away");
  foreign.stack = "Error: away\n    at fetch (ext:deno_fetch/26_fetch.js:10:5)";
  assertEquals(describe(foreign), "Error: away");
  assertEquals([describe("text"), describe(undefined)], ["text", "undefined"]);
});

Deno.test({
  name:
    "an error is described without its place while no descriptor is left, which Deno would need",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const program = new URL("testing/described_program.ts", import.meta.url).pathname;
    const args = ["run", "--quiet", "--no-check", "-A", program];
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
    assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
    const [without, later] = new TextDecoder().decode(stdout).split("\n");
    assertEquals(without, "TypeError: a bug");
    assertMatch(later!, /^TypeError: another \(src\/base\/testing\/described_program\.ts:\d+\)$/);
  },
});
