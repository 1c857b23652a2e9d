import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { COMMAND_NAMES } from "./commands.ts";
import { manualPage } from "./manual.ts";
import { envOf, flagOf, KEYS } from "./options.ts";

/** The page as a reader sees it: without escapes and fonts. */
const plain = manualPage().replaceAll("\\-", "-").replaceAll(/\\f[BIR]/g, "");

Deno.test("the manual page has each option, its variable and each command", () => {
  for (const key of KEYS) {
    assertStringIncludes(plain, `\n.TP\n`);
    assert(new RegExp(`^(-\\w, )?${flagOf(key)}( |$)`, "m").test(plain), flagOf(key));
    const variable = envOf(key);
    if (variable !== undefined) assertStringIncludes(plain, `\n.B ${variable}\n`);
  }
  for (const name of COMMAND_NAMES) assertStringIncludes(plain, `\n.B failover ${name}`);
});

Deno.test("the manual page has each signal that the program handles", () => {
  for (const signal of ["SIGTERM, SIGINT", "SIGUSR2", "SIGHUP"]) {
    assertStringIncludes(plain, `\n.B ${signal}\n`);
  }
});

Deno.test("no line of text is read as a roff request, and each hyphen is printed as a minus sign", () => {
  const requests = new Set(
    manualPage().split("\n").filter((line) => /^[.']/.test(line)).map((line) => line.split(" ")[0]),
  );
  assertEquals(requests, new Set([".TH", ".SH", ".nf", ".fi", ".PP", ".TP", ".B", ".br", ".SS"]));
  const bare = manualPage().split("\n").filter((line) => /(^|[^\\])-/.test(line));
  assertEquals(bare, []);
});
