import { assert, assertEquals } from "@std/assert";
import { changeLines, compareConfigs, fixedLines, isSameConfig } from "./compare.ts";
import { configOf } from "./testing/config.ts";

/** The config of a file with several services. */
function filed(text: string) {
  return configOf(["--config", "f.yaml"], { files: { "f.yaml": text } });
}

const ONE = ["--hosts", "a:1,b:1", "--bind", "127.0.0.1:9"];
const [A, B] = [
  "  a: {hosts: [x:1], bind: 127.0.0.1:1}\n",
  "  b: {hosts: [x:1], bind: 127.0.0.1:2}\n",
];

Deno.test("equal values are no change, wherever they come from", () => {
  const comparison = compareConfigs(
    configOf(ONE),
    configOf([...ONE, "--check-interval", "2000ms"]),
  );
  assert(isSameConfig(comparison));
  assertEquals([changeLines(comparison), fixedLines(comparison)], [[], []]);
});

Deno.test("each changed option is named, and what a secret is does not show", () => {
  const after = ["--hosts", "a:1,c:1", "--bind", "127.0.0.1:9", "--log-level", "debug"];
  const comparison = compareConfigs(
    configOf(ONE),
    configOf([...after, "--webhook-url", "https://hooks.example/secret"]),
  );
  assertEquals(changeLines(comparison), [
    "webhook_url (not set) → ***",
    "log_level info → debug",
    "service tcp: hosts a:1,b:1 → a:1,c:1",
  ]);
  assertEquals([isSameConfig(comparison), fixedLines(comparison)], [false, []]);
});

Deno.test("services come and go by their names", () => {
  const C = "  c: {primary: http://x, listen: 127.0.0.1:3}\n";
  const { added, kept, removed, ...rest } = compareConfigs(
    filed(`services:\n${A}${B}`),
    filed(`services:\n${B}${C}`),
  );
  const names = [added, removed].map((list) => list.map(({ name }) => name));
  assertEquals(names, [["c"], ["a"]]);
  assertEquals(kept.map(({ after, changes }) => [after.name, changes.length]), [["b", 0]]);
  assertEquals(changeLines({ added, kept, removed, ...rest }), [
    "service a goes",
    "service c comes: it listens on 127.0.0.1:3, HTTP mode",
  ]);
});

Deno.test("what needs a restart is named, each with its reason and its origin", () => {
  const other = ["--hosts", "a:1", "--bind", "127.0.0.1:8", "--workers", "2"];
  assertEquals(fixedLines(compareConfigs(configOf(ONE), configOf(other))), [
    "Cannot change workers from 1 to 2 while it runs: the threads are made at the start, and have the sessions; that needs a restart (from flag --workers)",
    "Cannot change bind of service tcp from 127.0.0.1:9 to 127.0.0.1:8 while it runs: a port that is open stays open; that needs a restart (from flag --bind)",
  ]);
  const named = ["--hosts", "a:1,b:1", "--bind", "127.0.0.1:9", "--name", "db"];
  assertEquals(fixedLines(compareConfigs(configOf(ONE), configOf(named))), [
    "Cannot change name of service tcp from tcp to db while it runs: it says whose counters, records and state these are; that needs a restart (from flag --name)",
  ]);
  const turned = "  a: {primary: http://x, listen: 127.0.0.1:1}\n";
  assertEquals(
    fixedLines(compareConfigs(filed(`services:\n${A}${B}`), filed(`services:\n${turned}${B}`))),
    [
      "Cannot turn service a from TCP mode to HTTP mode while it runs: that needs a restart",
    ],
  );
});

Deno.test("a new service cannot have the port of another one", () => {
  const taken = "  c: {hosts: [x:1], bind: 127.0.0.1:1}\n";
  assertEquals(
    fixedLines(compareConfigs(filed(`services:\n${A}${B}`), filed(`services:\n${taken}${B}`))),
    [
      "Cannot open 127.0.0.1:1 for service c: it is the port of service a, and for another one needs a restart",
    ],
  );
});
