import { assertEquals } from "@std/assert";
import { parse } from "@std/yaml";
import { yamlFault } from "./yaml_fault.ts";

/** What is said of a text that is no YAML. */
function faultOf(text: string): string {
  try {
    parse(text, { schema: "failsafe" });
  } catch (error) {
    const { place, reason } = yamlFault(error as Error);
    return `${place}: ${reason}`;
  }
  throw new Error("this is YAML");
}

const CASES: Readonly<Record<string, string>> = {
  "hosts a:1\nport: 1\n": ' line 2, column 5: expected "key: value" there or in the line above',
  'hosts: "a:1\nport: 1\n': " line 3, column 1: a quote above is not closed",
  "hosts: 'a:1\nport: 1\n": " line 3, column 1: a quote above is not closed",
  "hosts: [a:1, b:2\nport: 1\n":
    " line 2, column 1: a comma or a closing bracket is missing there or above",
  "hosts: [a:1, b:2": " line 2, column 1: a bracket above is not closed",
  "hosts:\n  - a:1\n - b:2\n": " line 3, column 2: wrong indentation",
  "port: 1\nport: 2\n": " line 2, column 1: this key is in the file already",
  "port: 1\n---\nport: 2\n":
    ' line 2, column 1: a second document begins ("---"), and only one is read',
  "hosts: *x\n": " line 1, column 10: there is no anchor (&) for this alias (*)",
  "hosts: !!python/object x\n":
    " line 1, column 25: unknown tag !<tag:yaml.org,2002:python/object>",
  "hosts: *\n": ' line 1, column 9: a text that begins with "*" needs quotes',
  "db: { hosts: [a:1] \n": " line 2, column 1: a bracket above is not closed",
  "@hosts: a:1\n": ' line 1, column 1: expected "key: value" there or in the line above',
};

Deno.test("each fault has a place and a reason, and none says again that a file cannot be read", () => {
  const found = Object.keys(CASES).map((text) => [text, faultOf(text)]);
  assertEquals(Object.fromEntries(found), CASES);
});

Deno.test("the file itself is not quoted", () => {
  assertEquals(faultOf("password: [secret\nport: 1\n").includes("secret"), false);
});

Deno.test("a message of another form is kept", () => {
  assertEquals(yamlFault(new Error("no such thing")), { place: "", reason: "no such thing" });
});
