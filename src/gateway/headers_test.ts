import { assertEquals } from "@std/assert";
import { parseRequestHead, type RequestHead } from "../http1/head.ts";
import { HeadWriter } from "../http1/head_writer.ts";
import { joinedTarget, localLocation, requestRules, writeRequestFields } from "./headers.ts";

function headOf(text: string): RequestHead {
  const bytes = new TextEncoder().encode(text);
  const head = parseRequestHead(bytes, 0, bytes.length, { headBytesMax: 4096, fieldsMax: 50 });
  if (head === undefined || head instanceof Error) throw head ?? new Error("not whole");
  return head;
}

function sentBy(peer: string, lines: string): string[] {
  const out = new HeadWriter();
  const rules = requestRules("own.test", { preserveHost: false, headers: [] });
  const head = headOf(`GET / HTTP/1.1\r\nHost: front.test:8080\r\n${lines}\r\n`);
  writeRequestFields(out, head, { peer, scheme: "http" }, rules);
  return new TextDecoder().decode(out.view()).trim().split("\r\n");
}

Deno.test("Forwarded quotes what is not a token, and X-Forwarded-For names IPv4 as IPv4", () => {
  assertEquals(sentBy("::ffff:192.0.2.1", "").slice(1), [
    "X-Forwarded-For: 192.0.2.1",
    "X-Forwarded-Host: front.test:8080",
    "X-Forwarded-Proto: http",
    'Forwarded: for=192.0.2.1;host="front.test:8080";proto=http',
    "Via: 1.1 failover",
  ]);
  assertEquals(sentBy("2001:db8::1", "")[4]!.split(";")[0], 'Forwarded: for="[2001:db8::1]"');
});

Deno.test("a client of a unix socket has no address, and none is made up", () => {
  const lines = sentBy("unix", "X-Forwarded-For: 192.0.2.9\r\n");
  assertEquals(lines.filter((line) => /192|for=/i.test(line)).length, 1);
});

Deno.test("Connection cannot take away what the gateway adds itself", () => {
  const lines = sentBy("192.0.2.1", "Connection: close, host, x-forwarded-for, x-a\r\nX-A: 1\r\n");
  assertEquals(lines.some((line) => line.startsWith("X-Forwarded-For: 192.0.2.1")), true);
  assertEquals([lines[0], lines.some((line) => /x-a/i.test(line))], ["Host: own.test", false]);
});

Deno.test("a location on the upstream itself becomes a path of ours, any other stays", () => {
  const cases: [value: string, basePath: string, expected: string][] = [
    ["http://up.test:81/a?b#c", "", "/a?b#c"],
    ["HTTP://UP.test:81", "", "/"],
    ["http://up.test:81?q", "", "/?q"],
    ["http://up.test:81/app/x", "/app", "/x"],
    ["http://up.test:81/app", "/app", "/"],
    ["http://up.test:81/apple", "/app", "/apple"],
    ["/app/x", "/app", "/x"],
    ["relative/x", "/app", "relative/x"],
    ["https://up.test:81/a", "", "https://up.test:81/a"],
    ["http://up.test/a", "", "http://up.test/a"],
    ["http://up.test:81@evil.test/a", "", "http://up.test:81@evil.test/a"],
    ["//evil.test/a", "", "//evil.test/a"],
    ["http://up.test:81//evil.test", "", "/.//evil.test"],
    ["http://up.test:81/app//evil.test", "/app", "/.//evil.test"],
  ];
  for (const [value, basePath, expected] of cases) {
    assertEquals(localLocation(value, { origin: "http://up.test:81", basePath }), expected, value);
  }
});

Deno.test("the path is joined to the base path without a look at it", () => {
  assertEquals(joinedTarget("/app", "/../x"), "/app/../x");
  assertEquals(joinedTarget("", "//x"), "//x");
  assertEquals(joinedTarget("/app", "*"), "*");
});
