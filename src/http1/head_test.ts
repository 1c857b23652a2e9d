/** Request and response heads, by section of RFC 9112, and the smuggling corpus. */
import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { Fault, type FaultName, statusOf } from "../base/fault.ts";
import { CHUNKED } from "./framing.ts";
import {
  parseRequestHead,
  parseResponseHead,
  type RequestHead,
  type ResponseHead,
} from "./head.ts";
import { HeadWriter } from "./head_writer.ts";

const LIMITS = { headBytesMax: 4096, fieldsMax: 16 };

function bytes(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function request(text: string): RequestHead | undefined | Fault {
  const all = bytes(text);
  return parseRequestHead(all, 0, all.length, LIMITS);
}

function response(text: string): ResponseHead | undefined | Fault {
  const all = bytes(text);
  return parseResponseHead(all, 0, all.length, LIMITS);
}

function accepted(text: string): RequestHead {
  const head = request(text);
  assert(head !== undefined && !(head instanceof Fault), `refused: ${String(head)}`);
  return head;
}

function refused(text: string, fault: FaultName = "badRequest"): void {
  const head = request(text);
  assertInstanceOf(head, Fault, JSON.stringify(text));
  assertEquals(head.fault, fault, JSON.stringify(text));
}

const lines = (...fields: string[]) =>
  ["POST / HTTP/1.1", "Host: a", ...fields, "", ""].join("\r\n");

Deno.test("a request head keeps target, names, order and duplicates as they were sent", () => {
  const head = accepted(
    "GET /a%2Fb//c/../d?x=%20y HTTP/1.1\r\nhOsT: a:80\r\nX-A: 1\r\nx-a:\t two \t\r\nEmpty:\r\n\r\nrest",
  );
  assertEquals(head.method, "GET");
  assertEquals(head.target, "/a%2Fb//c/../d?x=%20y");
  assertEquals(head.path, head.target);
  assertEquals(head.host, "a:80");
  const seen = Array.from({ length: head.fields.count }, (_, i) => [
    head.fields.name(i),
    head.fields.value(i),
  ]);
  assertEquals(seen, [["hOsT", "a:80"], ["X-A", "1"], ["x-a", "two"], ["Empty", ""]]);
  assertEquals(head.fields.find("x-a", 2), 2);
  assertEquals(head.fields.list("x-a"), ["1", "two"]);
  assertEquals(head.fields.get("none"), undefined);
});

Deno.test("section 2.2: one empty line before a request is skipped, and every line ends in CRLF", () => {
  accepted("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
  refused("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
  refused("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
  refused("GET / HTTP/1.1\nHost: a\r\n\r\n");
  refused("GET / HTTP/1.1\r\nHost: a\n\r\n");
  refused("GET / HTTP/1.1\r\nHost: a\r\n\n");
  refused("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n");
  refused("GET / HTTP/1.1\rHost: a\r\n\r\n");
  refused("GET / HTTP/1.1\r\nHost: a\r\n\rX: b\r\n\r\n");
});

Deno.test("section 2.2: white space between the start line and the first field is refused", () => {
  refused("GET / HTTP/1.1\r\n Host: a\r\n\r\n");
});

Deno.test("section 2.3: HTTP/1.0 and 1.1 are accepted, other versions are refused with 505", () => {
  assertEquals(accepted("GET / HTTP/1.0\r\n\r\n").minor, 0);
  for (const version of ["HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "HTTP/3.1"]) {
    refused(`GET / ${version}\r\nHost: a\r\n\r\n`, "versionUnsupported");
  }
  assertEquals(statusOf("versionUnsupported"), 505);
  for (const version of ["http/1.1", "HTTP/1.", "HTTP/11.1", "HTTP/1.1 ", "HTP/1.1", "HTTP/1,1"]) {
    refused(`GET / ${version}\r\nHost: a\r\n\r\n`);
  }
  refused("GET /\r\nHost: a\r\n\r\n");
});

Deno.test("section 3: a request line is three parts with single spaces", () => {
  refused("GET  / HTTP/1.1\r\nHost: a\r\n\r\n");
  refused("GET /  HTTP/1.1\r\nHost: a\r\n\r\n");
  refused("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n");
  refused(" GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  refused("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n");
  refused("\x16\x03\x01\x02\x00");
});

Deno.test("section 3.1: any token is a method, nothing else is", () => {
  assertEquals(accepted("PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n").method, "PROPFIND");
  assertEquals(accepted("get / HTTP/1.1\r\nHost: a\r\n\r\n").method, "get");
  refused("G(T / HTTP/1.1\r\nHost: a\r\n\r\n");
  refused("G\0T / HTTP/1.1\r\nHost: a\r\n\r\n");
  refused(`${"A".repeat(40)} / HTTP/1.1\r\nHost: a\r\n\r\n`, "notImplemented");
});

Deno.test("section 3.2: targets have one of their forms, without a fragment or bytes outside a URI", () => {
  assertEquals(accepted("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").path, "*");
  for (
    const target of ["*", "a/b", "#", "/a#b", "/\x7f", "/\xe4", "ftp://a/", "http:///x", "a:80"]
  ) {
    refused(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
  }
  refused("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "notImplemented");
  assertEquals(accepted('GET /a|{}^\\"<> HTTP/1.1\r\nHost: a\r\n\r\n').path, '/a|{}^\\"<>');
});

Deno.test("section 3.2.2: the authority of an absolute target replaces Host", () => {
  const head = accepted("GET http://b:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n");
  assertEquals([head.host, head.path], ["b:81", "/x?y"]);
  const bare = accepted("GET HTTPS://b?y HTTP/1.1\r\nHost: a\r\n\r\n");
  assertEquals([bare.host, bare.path], ["b", "/?y"]);
  refused("GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n");
});

Deno.test("section 3.2: HTTP/1.1 has exactly one valid Host", () => {
  refused("GET / HTTP/1.1\r\n\r\n");
  refused("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n");
  for (
    const host of ["", "a,b", "a b", "u@a", "a/b", "a?b", "a:x", "a:80:80", "[::1", "ä", "a:123456"]
  ) {
    refused(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  }
  for (const host of ["a", "a.b:80", "[::1]:8080", "127.0.0.1", "a_b", "a:"]) {
    assertEquals(accepted(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`).host, host);
  }
  refused("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n");
});

Deno.test("section 5: field lines are a token, a colon and a value without controls", () => {
  for (
    const field of [
      "X : 1",
      "X\t: 1",
      ": 1",
      "X",
      "X(: 1",
      "X\0: 1",
      "X: \0",
      "X: a\x07",
      "X: \x7f",
      "X: a\rb",
      " X: folded",
      "X: a\r\n b",
      "X: a\r\n\tb",
    ]
  ) refused(lines(field));
  assertEquals(accepted(lines("X: \xe4\t\xff")).fields.get("x"), "\xe4\t\xff");
});

Deno.test("section 6: framing that two recipients could read differently is refused", () => {
  for (
    const fields of [
      ["Content-Length: 3", "Transfer-Encoding: chunked"],
      ["Transfer-Encoding: chunked", "Content-Length: 3"],
      ["Content-Length: 3", "Content-Length: 4"],
      ["Content-Length: 3", "Content-Length: 3"],
      ["Content-Length: 3, 3"],
      ["Content-Length: +3"],
      ["Content-Length: -3"],
      ["Content-Length: 0x3"],
      ["Content-Length: 3 3"],
      ["Content-Length: 3.0"],
      ["Content-Length:"],
      ["Content-Length: 9999999999999999999"],
      ["Content-Length : 3"],
      ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
      ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
      ["Transfer-Encoding: chunked, identity"],
      ["Transfer-Encoding: chunked, chunked"],
      ["Transfer-Encoding: identity"],
      ["Transfer-Encoding: xchunked"],
      ['Transfer-Encoding: "chunked"'],
      ["Transfer-Encoding: chunked;q=1"],
      ["Transfer-Encoding:"],
      ["Transfer-Encoding: \x0bchunked"],
      ["Transfer-Encoding : chunked"],
      ["Transfer-Encoding:\r\n chunked"],
      ["Transfer-Encoding: chunked\t"],
      ["Transfer-Encoding: chunked \t "],
      ["Content-Length: 3\t"],
      ["X: a\nTransfer-Encoding: chunked"],
    ]
  ) refused(lines(...fields));
  refused(lines("Transfer-Encoding: gzip, chunked"), "notImplemented");
  refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
  assertEquals(accepted(lines("transfer-encoding: CHUNKED")).framing, CHUNKED);
  assertEquals(accepted(lines("content-length: 0042")).framing, 42);
  assertEquals(accepted(lines("Content-Length:\t42  ")).framing, 42);
  assertEquals(accepted(lines()).framing, 0);
});

Deno.test("section 9.3: persistence follows version and Connection", () => {
  const keeps = (version: string, connection: string) =>
    accepted(`GET / HTTP/${version}\r\nHost: a\r\n${connection}\r\n`).keepAlive;
  assertEquals(keeps("1.1", ""), true);
  assertEquals(keeps("1.1", "Connection: close\r\n"), false);
  assertEquals(keeps("1.1", "Connection: x, CLOSE\r\n"), false);
  assertEquals(keeps("1.1", "Connection: x\r\nConnection: close\r\n"), false);
  assertEquals(keeps("1.0", ""), false);
  assertEquals(keeps("1.0", "Connection: Keep-Alive\r\n"), true);
  assertEquals(keeps("1.0", "Connection: keep-alive, close\r\n"), false);
});

Deno.test("RFC 9110 section 10.1.1: 100-continue is the only expectation, and none from HTTP/1.0", () => {
  assertEquals(accepted(lines("Expect: 100-Continue")).expectsContinue, true);
  refused(lines("Expect: tea"), "expectationUnknown");
  const old = "POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n";
  assertEquals(accepted(old).expectsContinue, false);
});

Deno.test("RFC 9110 section 7.8: an upgrade needs both fields and HTTP/1.1", () => {
  assertEquals(accepted(lines("Upgrade: websocket", "Connection: Upgrade")).wantsUpgrade, true);
  assertEquals(accepted(lines("Upgrade: websocket")).wantsUpgrade, false);
  assertEquals(accepted(lines("Connection: upgrade")).wantsUpgrade, false);
});

Deno.test("RFC 9113: an upgrade to HTTP/2 is ignored, one to another protocol beside it is not", () => {
  const wants = (value: string) =>
    accepted(lines(`Upgrade: ${value}`, "Connection: Upgrade, HTTP2-Settings")).wantsUpgrade;
  for (const value of ["h2c", "H2C", "h2c, h2", " ,h2c,", ""]) assertEquals(wants(value), false);
  for (const value of ["websocket", "h2c, websocket", "h2co", "xh2c"]) assert(wants(value), value);
});

Deno.test("RFC 9110 section 10.1.4: trailers are accepted by a client that announces it, in HTTP/1.1", () => {
  const accepts = (value: string) => accepted(lines(`TE: ${value}`)).acceptsTrailers;
  for (const value of ["trailers", "Trailers", "gzip;q=0.5, trailers", "trailers ,deflate"]) {
    assert(accepts(value), value);
  }
  for (const value of ["", "gzip", "xtrailers", "trailers;q=0"]) {
    assertEquals(accepts(value), false);
  }
  assertEquals(accepted("GET / HTTP/1.0\r\nTE: trailers\r\n\r\n").acceptsTrailers, false);
});

Deno.test("a head over its limits is refused with 431, also before it is complete", () => {
  const many = Array.from({ length: 16 }, (_, i) => `X-${i}: 1`);
  refused(lines(...many), "headTooLarge");
  accepted(lines(...many.slice(0, 15)));
  refused(`GET /${"a".repeat(4096)}`, "headTooLarge");
  refused(lines(`X: ${"a".repeat(4096)}`), "headTooLarge");
  assertEquals(statusOf("headTooLarge"), 431);
});

Deno.test("section 4: a status line has version, three digits and a reason", () => {
  const head = response("HTTP/1.1 299 So  so \xe4\r\nX: 1\r\n\r\n");
  assert(head !== undefined && !(head instanceof Fault));
  assertEquals([head.status, head.reason, head.minor], [299, "So  so \xe4", 1]);
  assertEquals((response("HTTP/1.1 200 Ok\r\n\r\n") as ResponseHead).reason, "Ok");
  for (const line of ["HTTP/1.1 200", "HTTP/1.1 200 ", "HTTP/1.0 404 OK"]) {
    assert(!(response(`${line}\r\n\r\n`) instanceof Fault), line);
  }
  for (
    const line of [
      "HTTP/1.1 20 OK",
      "HTTP/1.1 2000 OK",
      "HTTP/1.1 099 OK",
      "HTTP/1.1  200 OK",
      "HTTP/1.1 2x0 OK",
      "HTTP/1.1200 OK",
      "HTTP/2 200 OK",
      "HTTP/1.2 200 OK",
      "ICY 200 OK",
      "http/1.1 200 OK",
      "HTTP/1.1 200 O\0K",
      "HTTP/1.1 200 OK\r",
      "\nHTTP/1.1 200 OK",
      " HTTP/1.1 200 OK",
    ]
  ) {
    const head = response(`${line}\r\n\r\n`);
    assertInstanceOf(head, Fault, line);
    assertEquals(head.fault, "badResponse");
  }
});

Deno.test("section 2.2: the lines of a response, and of nothing else, may end in a bare LF", () => {
  const texts = [
    "HTTP/1.1 200 OK\nA: 1\nContent-Length: 2\n\nhi",
    "HTTP/1.1 200 OK\r\nA: 1\nContent-Length: 2\r\n\nhi",
    "HTTP/1.1 200\nA: 1 \t\nContent-Length: 2\n\r\nhi",
  ];
  for (const text of texts) {
    const head = response(text);
    assert(head !== undefined && !(head instanceof Fault), JSON.stringify(text));
    assertEquals([head.status, head.semantics.length, head.end], [200, 2, text.length - 2]);
    const out = new HeadWriter();
    for (let i = 0; i < head.fields.count; i++) out.copy(head.fields, i);
    assertEquals(new TextDecoder().decode(out.view()), "A: 1\r\nContent-Length: 2\r\n");
  }
  for (const end of ["\r", "\n\r", "\r\r\n", "\0\n", "\n \n", "\n\t"]) {
    const head = response(`HTTP/1.1 200 OK\nA: 1${end}B: 2\n\n`);
    assertInstanceOf(head, Fault, JSON.stringify(end));
  }
});

Deno.test("a response with ambiguous framing is the upstream's fault", () => {
  for (
    const fields of [
      "Content-Length: 3\r\nTransfer-Encoding: chunked",
      "Content-Length: 3\r\nContent-Length: 4",
      "Content-Length: 3, 4",
      "Transfer-Encoding: gzip, chunked",
      "Transfer-Encoding: identity",
      "X : 1",
      "X: 1\r\n folded",
    ]
  ) {
    const head = response(`HTTP/1.1 200 OK\r\n${fields}\r\n\r\n`);
    assertInstanceOf(head, Fault, fields);
    assertEquals(head.fault, "badResponse");
  }
  assertInstanceOf(response("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), Fault);
});
