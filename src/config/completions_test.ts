import { assert, assertStringIncludes } from "@std/assert";
import { COMMAND_NAMES } from "./commands.ts";
import { bashCompletion, fishCompletion, zshCompletion } from "./completions.ts";
import { flagOf, KEYS } from "./options.ts";

Deno.test("each shell knows each option and each command", () => {
  for (const text of [bashCompletion(), zshCompletion(), fishCompletion()]) {
    for (const key of KEYS) {
      const name = flagOf(key).slice(2);
      assert(
        new RegExp(`(--|-l )${name}\\b`).test(text),
        `${name} is missing in ${text.slice(0, 40)}`,
      );
    }
    for (const name of COMMAND_NAMES) assert(new RegExp(`\\b${name}\\b`).test(text), name);
  }
});

Deno.test("both names of the program are completed", () => {
  assertStringIncludes(bashCompletion(), "complete -F _failover failover flopsy\n");
  assertStringIncludes(zshCompletion(), "#compdef failover flopsy\n");
  assertStringIncludes(fishCompletion(), "for name in failover flopsy\n");
});

Deno.test("an option with a few possible values offers these, one with a path offers files", () => {
  const fish = fishCompletion();
  assertStringIncludes(fish, "-l relay -x -a 'auto stream splice' ");
  // The N of its help stands for a number and is not a possible value.
  assertStringIncludes(fish, "-l workers -x -a 'auto' ");
  assertStringIncludes(fish, "-l config -r -F ");
  assertStringIncludes(fish, "-l hold -x -d ");
  const bash = bashCompletion();
  assertStringIncludes(bash, '--relay) COMPREPLY=($(compgen -W "auto stream splice" ');
  assertStringIncludes(bash, '--workers) COMPREPLY=($(compgen -W "auto" ');
});
