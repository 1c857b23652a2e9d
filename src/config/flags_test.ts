import { assertEquals } from "@std/assert";
import { readFlags } from "./flags.ts";

function readGood(...args: string[]): Record<string, unknown> {
  const { layer, errors } = readFlags(args);
  assertEquals(errors, []);
  return Object.fromEntries([...layer.entries].map(([key, { written }]) => [key, written]));
}

Deno.test("a command that is misspelled, or stands behind options, is said to be one", () => {
  assertEquals(readFlags(["statsu"]).errors, [
    'Cannot use the argument "statsu"; did you mean status?',
  ]);
  assertEquals(readFlags(["-p", "1", "drain"]).errors, [
    'Cannot use the argument "drain": a command stands before its options, and takes none of the proxy',
  ]);
});

Deno.test("a value may follow its flag, an equals sign, or the letter itself", () => {
  const spellings = [["--port", "80"], ["--port=80"], ["-p", "80"], ["-p80"], ["-p=80"]];
  for (const args of spellings) assertEquals(readGood(...args), { port: "80" });
  assertEquals(readGood("-Ha:1,b:2", "-B1m", "-c./x"), {
    hosts: "a:1,b:2",
    maxBackoff: "1m",
    checkHost: "./x",
  });
});

Deno.test("a value may hold equals signs", () => {
  assertEquals(readGood("--check-path=/up?a=b", "-f=a=b"), {
    checkPath: "/up?a=b",
    onFailover: "a=b",
  });
});

Deno.test("a flag without value does not take the next argument", () => {
  assertEquals(readGood("--json-logs", "-p", "80"), { jsonLogs: "on", port: "80" });
  assertEquals(readGood("--json-logs=off"), { jsonLogs: "off" });
  assertEquals(readFlags(["--json-logs", "maybe"]).errors, [
    'Cannot use the argument "maybe": every option begins with - or --',
  ]);
});

Deno.test("list flags may be repeated, others are given once", () => {
  assertEquals(readGood("-H", "a:1", "--hosts=b:2"), { hosts: "a:1,b:2" });
  assertEquals(readFlags(["-p", "1", "--port=2"]).errors, [
    "Flag --port is given more than once",
  ]);
});

Deno.test("a flag without a value does not take the next flag as its value", () => {
  const { layer, errors } = readFlags(["--hosts", "--port", "80", "--bind=", "-c"]);
  assertEquals([...layer.entries.keys()], ["port"]);
  assertEquals(errors, [
    "Flag --hosts needs a value: HOST:PORT,…",
    "Flag --bind needs a value: ADDR:PORT",
    "Flag --check-host needs a value: PATH",
  ]);
});

Deno.test("an unknown flag is reported with the flag that was probably meant", () => {
  assertEquals(readFlags(["--check_intervall", "2s", "--prot=80", "-z", "--xyzzy"]).errors, [
    "Unknown flag --check_intervall; did you mean --check-interval?",
    "Unknown flag --prot; did you mean --port?",
    "Unknown flag -z",
    "Unknown flag --xyzzy",
  ]);
});

Deno.test("the separator -- that task runners pass on is ignored", () => {
  assertEquals(readGood("--", "-p", "80"), { port: "80" });
});

Deno.test("what follows a flag is its value, also if it begins with a dash or is empty", () => {
  assertEquals(readGood("--hold", "-5s", "-B", "-1"), { hold: "-5s", maxBackoff: "-1" });
  assertEquals(readGood("--drain-timeout", "-", "-p", "80"), { drainTimeout: "-", port: "80" });
  assertEquals(readFlags(["--name", "", "-H", "", "--bind=", "-p="]).errors, [
    "Flag --hosts needs a value: HOST:PORT,…",
    "Flag --port needs a value: N",
    "Flag --bind needs a value: ADDR:PORT",
    "Flag --name needs a value: NAME",
  ]);
});

Deno.test("a separator is not taken as a value", () => {
  assertEquals(readFlags(["--bind", "--", "-p", "80"]).errors, [
    "Flag --bind needs a value: ADDR:PORT",
  ]);
});

Deno.test("an unknown flag is reported once, and its value not at all", () => {
  assertEquals(readFlags(["-5s", "-zyx", "--holdd", "-5s", "-p", "80"]).errors, [
    "Unknown flag -5s",
    "Unknown flag -zyx",
    "Unknown flag --holdd; did you mean --hold?",
  ]);
  assertEquals(readFlags(["--json-logs", "-5s"]).errors, ["Unknown flag -5s"]);
});
