import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { COMMAND_NAMES, commandHelp, flagsOf, isCommand, synopsisOf } from "./commands.ts";
import { documentText } from "./documents.ts";
import { helpText } from "./help.ts";

Deno.test("each command is known by its name only", () => {
  for (const name of COMMAND_NAMES) assert(isCommand(name));
  assertEquals([isCommand("toString"), isCommand("--help"), isCommand(undefined)], [
    false,
    false,
    false,
  ]);
});

Deno.test("the help of a command has its usage, its flags and its exit codes", () => {
  const text = commandHelp("switchover");
  assertStringIncludes(text, "usage: failover switchover [SERVICE] --to HOST [--max-wait TIME]");
  assertStringIncludes(text, "--reason TEXT");
  assertStringIncludes(text, "  3   no proxy can be reached");
  assertStringIncludes(commandHelp("status"), "  1   a backup serves");
});

Deno.test("help, manual page and completions know every command and its flags", () => {
  for (const name of COMMAND_NAMES) {
    assertStringIncludes(helpText(), `\n  ${name} `);
    assertStringIncludes(documentText("man"), synopsisOf(name).replaceAll("-", "\\-"));
    for (const shell of ["bash", "zsh", "fish"] as const) {
      const text = documentText(shell);
      assert(new RegExp(`\\b${name}\\b`).test(text), `${shell} ${name}`);
      for (const flag of Object.keys(flagsOf(name))) {
        assert(new RegExp(`(--|-l )${flag}\\b`).test(text), `${shell} ${name} --${flag}`);
      }
    }
  }
});
