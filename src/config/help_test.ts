import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { helpText, USAGE } from "./help.ts";
import { flagOf, KEYS, optionOf } from "./options.ts";
import { defaultOf } from "./rows.ts";

Deno.test("the help fits 80 columns and begins with both ways to start", () => {
  const lines = helpText().split("\n");
  assertEquals(lines.filter((line) => line.length > 80), []);
  assertEquals(lines.slice(0, 2), USAGE);
});

Deno.test("the help shows every flag once, with its letter and its defaults", () => {
  const lines = helpText().split("\n");
  for (const key of KEYS) {
    const { short, kind } = optionOf(key);
    const head = `${short === undefined ? "    " : `-${short}, `}${flagOf(key)} ${kind.metavar}`;
    const found = lines.filter((line) => `${line} `.startsWith(`  ${head.trimEnd()} `));
    assertEquals(found.length, 1, head);
  }
  const words = helpText().replaceAll(/\s+/g, " ");
  assertStringIncludes(words, "(default never in TCP mode, auto in HTTP mode)");
  for (const key of KEYS) {
    const option = optionOf(key);
    if (typeof option.default !== "string" || option.kind.metavar === "") continue;
    assertStringIncludes(words, `default ${defaultOf(option, "tcp")}`);
  }
});

Deno.test("the help has its options in groups", () => {
  const groups = new Set(KEYS.map((key) => optionOf(key).group));
  assert(groups.size >= 5);
  for (const group of groups) assertStringIncludes(helpText(), `\n\n${group}:\n  `);
});
