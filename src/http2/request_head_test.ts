/** Heads of requests: what RFC 9113 section 8 allows, and what it does not. */
import { assertEquals } from "@std/assert";
import { Fault } from "../base/fault.ts";
import { HpackDecoder } from "./hpack_decoder.ts";
import { MALFORMED, RequestFields, TrailerFields } from "./request_head.ts";
import { block, requestFields } from "./testing/frames.ts";

const LIMITS = { headBytesMax: 4_096, fieldsMax: 20 };
type FieldList = readonly (readonly [string, string])[];

function fieldsOf(list: FieldList): RequestFields {
  const fields = new RequestFields(LIMITS);
  const bytes = block(list);
  assertEquals(new HpackDecoder().decode(bytes, 0, bytes.length, fields), true);
  return fields;
}

/** The lines of the head, or why there is none. */
function headOf(list: FieldList): string[] | string {
  const head = fieldsOf(list).head();
  if (head === MALFORMED) return head;
  if (head instanceof Fault) return head.fault;
  const lines = [`${head.method} ${head.path} ${head.host}`];
  for (let i = 0; i < head.fields.count; i++) {
    lines.push(`${head.fields.name(i)}: ${head.fields.value(i)}`);
  }
  return lines;
}

const get = (...more: FieldList) => requestFields("GET", "/x?y", more);
const without = (name: string) => requestFields().filter((pair) => pair[0] !== name);

Deno.test("a request becomes an HTTP/1.1 head", () => {
  assertEquals(headOf(get(["accept", "*/*"], ["te", "trailers"], ["x-empty", ""])), [
    "GET /x?y a.test",
    "host: a.test",
    "accept: */*",
    "te: trailers",
    "x-empty: ",
  ]);
});

Deno.test("Host stands in for :authority, and must agree with it", () => {
  const [first] = headOf([...without(":authority"), ["host", "b.test"]]) as string[];
  assertEquals(first, "GET / b.test");
  assertEquals(headOf(get(["host", "A.test"])), ["GET /x?y a.test", "host: a.test"]);
  assertEquals(headOf(get(["host", "b.test"])), MALFORMED);
  assertEquals(headOf([...without(":authority"), ["host", "a"], ["host", "a"]]), MALFORMED);
  assertEquals(headOf(without(":authority")), "badRequest");
});

Deno.test("crumbs of cookies are joined", () => {
  const lines = headOf(get(["cookie", "a=1"], ["accept", "*/*"], ["cookie", "b=2"]));
  assertEquals(lines, ["GET /x?y a.test", "host: a.test", "accept: */*", "cookie: a=1; b=2"]);
});

Deno.test("crumbs of cookies count as one field, and have a limit of their own", () => {
  const crumbs = (count: number): FieldList =>
    Array.from({ length: count }, (_, at) => ["cookie", `${at}`]);
  assertEquals((headOf(get(...crumbs(80))) as string[]).length, 3);
  const limits = { headBytesMax: 1_000_000, fieldsMax: 20 };
  for (const [count, isGood] of [[512, true], [513, false]] as const) {
    const fields = new RequestFields(limits);
    const bytes = block(get(...crumbs(count)));
    new HpackDecoder().decode(bytes, 0, bytes.length, fields);
    const head = fields.head();
    assertEquals(head instanceof Fault ? head.fault : "good", isGood ? "good" : "headTooLarge");
  }
});

Deno.test("malformed requests, RFC 9113 sections 8.2 and 8.3", () => {
  const malformed: FieldList[] = [
    without(":method"),
    without(":scheme"),
    without(":path"),
    requestFields("GET", ""),
    requestFields("GET", "*"),
    requestFields("GET", "http://a.test/"),
    [...without(":scheme"), [":scheme", "http://b.test/x?"]],
    [...without(":scheme"), [":scheme", "1http"]],
    requestFields("G T", "/"),
    requestFields("", "/"),
    [...requestFields(), [":path", "/"]],
    [...requestFields(), [":status", "200"]],
    [...requestFields(), [":unknown", "x"]],
    [...requestFields(), ["accept", "a"], [":protocol", "websocket"]],
    [...requestFields(), [":protocol", "websocket"]],
    get(["connection", "close"]),
    get(["keep-alive", "5"]),
    get(["proxy-connection", "x"]),
    get(["transfer-encoding", "chunked"]),
    get(["upgrade", "websocket"]),
    get(["te", "gzip"]),
    get(["x", " leading"]),
    get(["x", "trailing\t"]),
    get(["x", "line\r\nend: 1"]),
    get(["x", "nul\0"]),
    get(["a b", "x"]),
    [[":method", "CONNECT"], [":path", "/"], [":authority", "a:1"]],
  ];
  for (const list of malformed) assertEquals([list, headOf(list)], [list, MALFORMED]);
});

Deno.test("of a malformed request it is said what is wrong", () => {
  const problem = (list: FieldList) => {
    const fields = fieldsOf(list);
    fields.head();
    return fields.problem;
  };
  assertEquals(
    problem(get(["connection", "close"])),
    "a field that only HTTP/1.1 has, like connection",
  );
  assertEquals(problem(get(["x", "nul\0"])), "bad characters in a value");
  assertEquals(problem(get(["a b", "x"])), "bad characters in a name");
  assertEquals(problem(get(["host", "b"])), "a host that is not :authority, or two of them");
  assertEquals(problem(get(["te", "gzip"])), "a te beside trailers");
  assertEquals(
    [
      problem(without(":path")),
      problem([...get(), [":path", "/"]]),
      problem(get([":status", "1"])),
    ],
    [
      ":method, :scheme, :path or :protocol is missing or wrong",
      "a pseudo-header that is unknown, or there twice",
      "a pseudo-header that is unknown, or there twice",
    ],
  );
  assertEquals(problem(get(["x", "y"], [":path", "/"])), "a pseudo-header behind a field");
  assertEquals(problem(get()), undefined);
});

Deno.test("names in capitals are malformed", () => {
  const fields = new RequestFields(LIMITS);
  const bytes = (text: string) => new TextEncoder().encode(text);
  for (const [name, value] of requestFields()) {
    fields.field(bytes(name), 0, name.length, bytes(value), 0, value.length);
  }
  fields.field(bytes("X-Own"), 0, 5, bytes("1"), 0, 1);
  assertEquals(fields.head(), MALFORMED);
});

Deno.test("requests that are answered with a status", () => {
  assertEquals(headOf([[":method", "CONNECT"], [":authority", "a.test:443"]]), "notImplemented");
  assertEquals(
    headOf([...requestFields("CONNECT", "/"), [":protocol", "other"]]),
    "notImplemented",
  );
  assertEquals(headOf(get(["x", "v".repeat(5_000)])), "headTooLarge");
  const many: FieldList = Array.from({ length: 30 }, (_, i) => [`x-${i}`, "1"]);
  assertEquals(headOf(get(...many)), "headTooLarge");
  assertEquals(headOf(get(["expect", "the unexpected"])), "expectationUnknown");
  assertEquals(headOf(get(["content-length", "1"], ["content-length", "2"])), "badRequest");
  assertEquals(headOf(requestFields("GET", "/a b")), "badRequest");
});

Deno.test("OPTIONS *", () => {
  assertEquals(headOf(requestFields("OPTIONS", "*")), ["OPTIONS * a.test", "host: a.test"]);
});

Deno.test("an extended CONNECT becomes the handshake of a WebSocket", () => {
  const fields = fieldsOf([
    ...requestFields("CONNECT", "/chat"),
    [":protocol", "websocket"],
    ["sec-websocket-version", "13"],
    ["sec-websocket-key", "b3duIGtleSBvZiBjbGllbnQ="],
  ]);
  const head = fields.head();
  if (head === MALFORMED || head instanceof Fault) throw new Error("no head");
  assertEquals([head.method, head.path, head.wantsUpgrade], ["GET", "/chat", true]);
  assertEquals(head.fields.get("sec-websocket-key"), fields.webSocketKey);
  assertEquals(head.fields.list("sec-websocket-key").length, 1);
  assertEquals(atob(fields.webSocketKey!).length, 16);
});

Deno.test("trailers: ordinary fields alone", () => {
  const trailersOf = (list: FieldList) => {
    const sink = new TrailerFields(LIMITS);
    const bytes = block(list);
    new HpackDecoder().decode(bytes, 0, bytes.length, sink);
    return sink.fields();
  };
  assertEquals(trailersOf([["x-sum", "1"]])?.get("x-sum"), "1");
  assertEquals(trailersOf([[":path", "/"]]), undefined);
  assertEquals(trailersOf([["connection", "close"]]), undefined);
  assertEquals(trailersOf([["content-length", "3"]]), undefined);
  assertEquals(trailersOf([["host", "b"]]), undefined);
  assertEquals(trailersOf([["x", "v".repeat(5_000)]]), undefined);
});
