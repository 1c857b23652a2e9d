import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type ConfigFixture, loadWith } from "./testing/config.ts";

function printed(args: readonly string[], fixture?: ConfigFixture): string {
  const loaded = loadWith([...args, "--print-config"], fixture);
  assert(loaded.kind === "print", JSON.stringify(loaded));
  return loaded.text;
}

const LINE = /^(.*?) +# (.*)$/;

function lineOf(text: string, key: string): string[] {
  const line = text.split("\n").find((each) => each.trimStart().startsWith(`${key}:`))!;
  return LINE.exec(line.trim())!.slice(1);
}

Deno.test("each value is printed with its origin, and an option without a value as not set", () => {
  const fixture = { env: { MAX_BACKOFF: "5" }, files: { "f.yaml": "\nhold: 3s\nport: 80\n" } };
  const text = printed(["-H", "[::1]:1,b:2", "--config=f.yaml"], fixture);
  assertEquals(lineOf(text, "hosts"), ['hosts: "[::1]:1,b:2"', "flag --hosts"]);
  assertEquals(lineOf(text, "max_backoff"), ["max_backoff: 5s", "environment MAX_BACKOFF"]);
  assertEquals(lineOf(text, "hold"), ["hold: 3s", "f.yaml line 2"]);
  assertEquals(lineOf(text, "bind"), ['bind: "[::]:80"', "f.yaml line 3"]);
  assertEquals(lineOf(text, "grace"), ["grace: 1s", "default"]);
  assertStringIncludes(text, "\n# check_host: not set\n");
});

Deno.test("secrets and passwords are masked", () => {
  const text = printed([
    "--primary=https://me:hush@x",
    "--backup=https://me:hush@y",
    "--webhook-url=https://hooks.example/hush",
  ]);
  assert(!text.includes("hush"), text);
  assertEquals(lineOf(text, "webhook_url"), ['webhook_url: "***"', "flag --webhook-url"]);
  assertEquals(lineOf(text, "primary")[0], 'primary: "https://***@x"');
});

Deno.test("what is printed is a file that loads into the same config", () => {
  const yaml =
    "services:\n  a: {hosts: 'a:1,b:2', bind: unix:/x}\n  web: {primary: http://p, backup: http://b}\n";
  const starts: [string[], ConfigFixture][] = [
    [["-H", "a:1,unix:/y z", "-p", "80", "--failback=3s"], {}],
    [["--config", "f.yaml"], { files: { "f.yaml": yaml } }],
  ];
  for (const [args, fixture] of starts) {
    const text = printed(args, fixture);
    const again = printed(["--config", "again"], { files: { again: text } });
    const values = (each: string) => each.split("\n").map((line) => LINE.exec(line)?.[1] ?? line);
    assertEquals(values(again), values(text));
  }
});
