import { assertEquals } from "@std/assert";
import { accessLine, type AccessRecord } from "./access_record.ts";

const RECORD: AccessRecord = {
  wall: Date.UTC(2026, 10, 28, 8, 5, 9, 250),
  service: "shop",
  client: "192.0.2.1",
  peer: "10.0.0.1",
  method: "GET",
  scheme: "https",
  host: "shop.example",
  target: "/basket?id=7",
  protocol: "HTTP/1.1",
  status: 200,
  sentBytes: 512,
  receivedBytes: 0,
  upstream: "http://a.example",
  attempts: 2,
  totalMs: 12.3456,
  firstByteMs: 10.25,
  heldMs: 0,
  outcome: "done",
  requestId: "r-1",
  referer: "https://shop.example/",
  userAgent: "curl/8",
};

Deno.test("accessLine() begins like the combined format, followed by further fields", () => {
  assertEquals(
    accessLine(RECORD, "combined"),
    '192.0.2.1 - - [28/Nov/2026:08:05:09 +0000] "GET /basket?id=7 HTTP/1.1" 200 512 ' +
      '"https://shop.example/" "curl/8" service=shop upstream="http://a.example" attempts=2 ' +
      'total=0.012 first_byte=0.010 held=0.000 outcome=done host="shop.example" request_id="r-1"',
  );
});

Deno.test("accessLine() as JSON has a number for each number, and null for what is missing", () => {
  const line = JSON.parse(accessLine({ ...RECORD, upstream: "", firstByteMs: undefined }, "json"));
  const { service, client, peer, method, scheme, host, target, protocol, status } = RECORD;
  const head = { service, client, peer, method, scheme, host, target, protocol, status };
  assertEquals(line, {
    ...head,
    time: "2026-11-28T08:05:09.250Z",
    bytes: 512,
    request_bytes: 0,
    upstream: null,
    attempts: 2,
    total_ms: 12.346,
    first_byte_ms: null,
    held_ms: 0,
    outcome: "done",
    request_id: "r-1",
    referer: RECORD.referer,
    user_agent: RECORD.userAgent,
  });
});

Deno.test("accessLine() stays one line, whatever a client sends", () => {
  const userAgent = 'a"b\\c\nd\x00\xe9';
  const line = accessLine({ ...RECORD, userAgent }, "combined");
  assertEquals(/"a[^ ]*/.exec(line)?.[0], '"a\\x22b\\x5Cc\\x0Ad\\x00\\xE9"');
  assertEquals(JSON.parse(accessLine({ ...RECORD, userAgent }, "json")).user_agent, userAgent);
  assertEquals(accessLine({ ...RECORD, userAgent }, "json").includes("\n"), false);
});

Deno.test("accessLine() masks passwords in URLs", () => {
  const target = "http://me:secret@shop.example/a@b";
  const json = JSON.parse(accessLine({ ...RECORD, target, referer: target }, "json"));
  const masked = "http://***@shop.example/a@b";
  assertEquals([json.target, json.referer], [masked, masked]);
  assertEquals(accessLine({ ...RECORD, target }, "combined").includes("secret"), false);
});

Deno.test("accessLine() cuts what is too long, and shows a request that could not be read as -", () => {
  const long = accessLine({ ...RECORD, target: `/${"x".repeat(60_000)}` }, "combined");
  assertEquals([long.length < 9_000, long.includes("xxx... HTTP/1.1")], [true, true]);
  const unread = { ...RECORD, method: "", target: "", protocol: "", status: 400 };
  assertEquals(accessLine(unread, "combined").includes('] "-" 400 '), true);
});
