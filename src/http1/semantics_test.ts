/** The meaning of the fields of a head, and contradictions between them. */
import { assert, assertEquals } from "@std/assert";
import { Fault } from "../base/fault.ts";
import { readSemantics, upgradeOffer } from "./semantics.ts";
import { fieldsOf } from "./testing/fields.ts";

const read = (lines: string, side: "request" | "response" = "request", minor: 0 | 1 = 1) =>
  readSemantics(fieldsOf(`${lines}\r\n\r\n`), side, minor);

Deno.test("each field that matters is found, whatever the case of its name", () => {
  const found = read(
    "HOST: a\r\nconnection: keep-alive, X-Own\r\nTE: trailers\r\nVia: 1.1 a\r\n" +
      "X-Forwarded-For: 192.0.2.1\r\nContent-Length: 7\r\nExpect: 100-continue\r\nAuthorization: x",
  );
  assert(!(found instanceof Fault));
  const { host, keepAlive, namesFields, trailers, via, forwarded, length, login } = found;
  assertEquals(
    [host, keepAlive, namesFields, trailers, via, forwarded, length, login],
    [0, true, true, true, true, true, 7, true],
  );
  assertEquals([found.expectsContinue, found.chunked, found.close], [true, false, false]);
});

Deno.test("contradictory fields are a fault of the sender", () => {
  for (
    const lines of [
      "Content-Length: 1\r\nTransfer-Encoding: chunked",
      "Content-Length: 1\r\nContent-Length: 1",
      "Host: a\r\nHost: b",
      "Host: a b",
      "Transfer-Encoding: gzip",
    ]
  ) {
    const found = read(lines);
    assert(found instanceof Fault && found.fault === "badRequest", lines);
  }
  const answered = read("Content-Length: x", "response");
  assert(answered instanceof Fault && answered.fault === "badResponse");
});

Deno.test("Expect is ignored in HTTP/1.0, and an unknown expectation is refused in HTTP/1.1", () => {
  const old = read("Expect: 100-continue", "request", 0);
  assert(!(old instanceof Fault) && !old.expectsContinue);
  const unknown = read("Expect: wonders");
  assert(unknown instanceof Fault && unknown.fault === "expectationUnknown");
});

Deno.test("an upgrade to HTTP/2 is not forwarded", () => {
  const fields = fieldsOf("Upgrade: h2c, websocket\r\nUpgrade: h2c\r\n\r\n");
  assertEquals([upgradeOffer(fields, 0), upgradeOffer(fields, 1)], ["websocket", ""]);
});

Deno.test("each option of Connection is found alone and in a list, and only a list may name fields", () => {
  const cases: [
    line: string,
    keepAlive: boolean,
    close: boolean,
    upgrade: boolean,
    names: boolean,
  ][] = [
    ["Connection: Keep-Alive", true, false, false, false],
    ["Connection: close", false, true, false, false],
    ["Connection: X-A ,\tkeep-alive", true, false, false, true],
    ["Connection: close, X-A", false, true, false, true],
    ["Connection: Upgrade", false, false, true, true],
    ["Connection: closed, keep-alive-not, upgraded", false, false, false, true],
    ["Connections: close", false, false, false, false],
  ];
  for (const [line, ...expected] of cases) {
    const found = read(line);
    assert(!(found instanceof Fault), line);
    const { keepAlive, close, connectionUpgrade, namesFields } = found;
    assertEquals([keepAlive, close, connectionUpgrade, namesFields], expected, line);
  }
});

Deno.test("trailers are accepted if TE names them, alone or in a list", () => {
  const accepts = (value: string) => {
    const found = read(`TE: ${value}`);
    return !(found instanceof Fault) && found.trailers;
  };
  for (const value of ["trailers", "Trailers", "gzip, trailers", "trailers\t, gzip;q=0.5"]) {
    assert(accepts(value), value);
  }
  for (const value of ["gzip", "trailers-not", "x trailers", ""]) assert(!accepts(value), value);
});

Deno.test("Date, Keep-Alive and a login of the server are found in responses", () => {
  const found = read(
    "Date: x\r\nKeep-Alive: a\r\nKeep-Alive: b\r\nWWW-Authenticate: Basic",
    "response",
  );
  assert(!(found instanceof Fault));
  assertEquals([found.date, found.keepAliveLine, found.login], [true, 1, true]);
  const request = read("Date: x");
  assert(!(request instanceof Fault));
  assertEquals([request.date, request.keepAliveLine, request.login], [false, -1, false]);
});

Deno.test("an offer to upgrade counts unless it offers HTTP/2 only", () => {
  for (const [value, counts] of [["websocket", true], ["h2c", false], ["h2c, a", true]] as const) {
    const found = read(`Upgrade: ${value}`);
    assert(!(found instanceof Fault) && found.upgrade === counts, value);
  }
});
