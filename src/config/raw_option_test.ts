/** Suggestions for words that are not known. */
import { assertEquals } from "@std/assert";
import { didYouMean } from "./raw_option.ts";

Deno.test("a misspelt word gets the known word as a suggestion, a different word gets none", () => {
  const known = ["--primary", "--backup", "--hold"];
  assertEquals(didYouMean("--priamry", known), "; did you mean --primary?");
  assertEquals(didYouMean("--BACKUP", known), "; did you mean --backup?");
  assertEquals(didYouMean("--holds", known), "; did you mean --hold?");
  assertEquals(didYouMean("--verbose", known), "");
});
