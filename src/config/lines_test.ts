import { assertEquals } from "@std/assert";
import { keyLines } from "./lines.ts";

const TEXT = [
  "# hosts: not this one",
  "hosts: [a:1]",
  '"json_logs" : on',
  "services:\r",
  "  one:",
  "    'port': 80   # why",
  "    hosts:",
  "      - b:2",
  "  two.x: {port: 81, bind: c:3}",
  "grace: 1s",
].join("\n");

Deno.test("keys are found on their lines, however they are quoted and nested", () => {
  const line = keyLines(TEXT);
  assertEquals(line(["hosts"]), 2);
  assertEquals(line(["json_logs"]), 3);
  assertEquals(line(["services"]), 4);
  assertEquals(line(["services", "one", "port"]), 6);
  assertEquals(line(["services", "one", "hosts"]), 7);
  assertEquals(line(["grace"]), 10);
});

Deno.test("a key inside braces has the line of the key around it", () => {
  assertEquals(keyLines(TEXT)(["services", "two.x", "port"]), 9);
});

Deno.test("a key that is missing has no line", () => {
  assertEquals(keyLines(TEXT)(["nope"]), undefined);
});
