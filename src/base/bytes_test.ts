import { assert, assertEquals } from "@std/assert";
import { countLines, formatBytes, parseBytes } from "./bytes.ts";
import { ConfigError } from "./config_error.ts";

Deno.test("sizes are read with and without units", () => {
  const cases = {
    "512": 512,
    "64KB": 65_536,
    "64k": 65_536,
    "10MB": 10_485_760,
    "1GiB": 2 ** 30,
    "1.5 MB": 1_572_864,
  };
  for (const [text, bytes] of Object.entries(cases)) assertEquals(parseBytes(text), bytes, text);
});

Deno.test("what is not a size is an error", () => {
  for (const text of ["", "MB", "10XB", "-1", "1e9", "99999999TB"]) {
    assert(parseBytes(text) instanceof ConfigError, text);
  }
});

Deno.test("sizes print in the largest fitting unit", () => {
  assertEquals([512, 65_536, 1_572_864].map(formatBytes), ["512B", "64KB", "1.5MB"]);
});

Deno.test("lines are counted by their ends", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  assertEquals(["", "a", "a\n", "\n\nb", "a\r\nb\r\n"].map((text) => countLines(bytes(text))), [
    0,
    0,
    1,
    2,
    2,
  ]);
});
