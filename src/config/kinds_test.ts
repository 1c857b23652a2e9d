import { assert, assertEquals } from "@std/assert";
import { ConfigError } from "../base/config_error.ts";
import {
  count,
  duration,
  host,
  list,
  onOff,
  type OptionKind,
  quote,
  sizeOrTime,
  type Written,
} from "./kinds.ts";

function expected<T>(kind: OptionKind<T>, written: Written): string {
  const value = kind.read(written);
  assert(value instanceof ConfigError, `${JSON.stringify(written)} was accepted`);
  return value.expected;
}

function found<T>(kind: OptionKind<T>, written: Written): string | undefined {
  const value = kind.read(written);
  return value instanceof ConfigError ? value.found : undefined;
}

const hosts = list(host, "HOSTS");

Deno.test("a list is read alike from text with commas and from a list", () => {
  const names = (written: Written) =>
    (hosts.read(written) as readonly { name: string }[]).map((h) => h.name);
  assertEquals(names("a:1, [::1]:2,unix:/x,"), ["a:1", "[::1]:2", "unix:/x"]);
  assertEquals(names(["a:1", " [::1]:2 ", "unix:/x"]), ["a:1", "[::1]:2", "unix:/x"]);
});

Deno.test("an error in a list names the wrong item", () => {
  assertEquals(found(hosts, "a:1,b:x"), '"b:x"');
  assertEquals(found(hosts, ["a:x"]), '"a:x"');
  assertEquals(found(hosts, ["a:1", null]), "nothing in a list");
  assertEquals(found(hosts, ["a:1", ["b:2"]]), "a list in a list");
});

Deno.test("each wrong item of a list is reported", () => {
  const error = hosts.read("a:x,b:1,c:y,b:1");
  assert(error instanceof ConfigError);
  assertEquals([error, ...error.others].map((each) => each.found), [
    '"a:x"',
    '"c:y"',
    '"b:1" twice',
  ]);
});

Deno.test("a list refuses an item given twice, and to be empty", () => {
  assertEquals(expected(hosts, "a:1, a:1"), "each one once");
  assertEquals(found(hosts, "a:1, a:1"), '"a:1" twice');
  assertEquals(expected(hosts, " , "), "at least one");
  assertEquals(expected(hosts, []), "at least one");
});

Deno.test("an option with a single value refuses a list and a mapping", () => {
  assertEquals(expected(duration(), ["1s"]), "one value (TIME)");
  assertEquals(expected(duration(), { a: "1s" }), "one value (TIME)");
});

Deno.test("a duration shorter than its minimum is refused, and the error names the minimum", () => {
  assertEquals(duration(10).read("10ms"), 10);
  assertEquals(expected(duration(10), "0"), "a duration of at least 10ms");
});

Deno.test("a count is a whole number within its bounds", () => {
  assertEquals(count(1, 5).read("5"), 5);
  for (const text of ["0", "6", "1.5", "-1", "1e2", "0x2", "", "99999999999999999999"]) {
    assertEquals(expected(count(1, 5), text), "a whole number from 1 to 5");
  }
});

Deno.test("yes and no have several spellings", () => {
  assertEquals(["on", "TRUE", "yes", "1"].map(onOff.read), [true, true, true, true]);
  assertEquals(["off", "False", "no", "0"].map(onOff.read), [false, false, false, false]);
});

Deno.test("a quoted value shows neither passwords nor more than fits a line", () => {
  assertEquals(quote("http://me:pass@word@x,https://you@y"), '"http://***@x,https://***@y"');
  assertEquals(quote("a\nb"), '"a\\nb"');
  assert(quote("x".repeat(1000)).length < 110);
  assertEquals(
    quote({ url: "x", headers: { authorization: "secret" } }),
    "a mapping of url, headers",
  );
});

Deno.test("a size or a time says by its unit which it is, so it needs one", () => {
  assertEquals(sizeOrTime.read("16MB"), { bytes: 16 * 1024 * 1024 });
  assertEquals(sizeOrTime.read("512b"), { bytes: 512 });
  assertEquals(sizeOrTime.read("10s"), { seconds: 10 });
  assertEquals(sizeOrTime.read("5m"), { seconds: 300 });
  assertEquals(sizeOrTime.read("250ms"), { seconds: 0.25 });
  for (const text of ["16", "", "10x", "MB", "-1s", "16 M"]) {
    assertEquals(expected(sizeOrTime, text), "a size like 16MB or a time like 10s");
  }
  for (const text of ["16MB", "10s"]) {
    const value = sizeOrTime.read(text);
    assertEquals(value instanceof ConfigError ? "" : sizeOrTime.print(value), text);
  }
});
