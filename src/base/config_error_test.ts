import { assertEquals } from "@std/assert";
import { ConfigError, type Parsed } from "./config_error.ts";

function parse(text: string): Parsed<number> {
  return text === "one" ? 1 : new ConfigError("the word one", text.slice(0, 3));
}

Deno.test("a parser returns a value or what was expected, and throws neither", () => {
  assertEquals(parse("one"), 1);
  const error = parse("three");
  assertEquals(error instanceof ConfigError && [error.expected, error.found, error.others], [
    "the word one",
    "thr",
    [],
  ]);
});

Deno.test("further errors in the same text are kept", () => {
  const others = [new ConfigError("a port")];
  const { found, others: kept } = new ConfigError("a host", undefined, others);
  assertEquals([found, kept], [undefined, others]);
});
