import { assertEquals } from "@std/assert";
import { random } from "../http1/testing/mutations.ts";
import { parseRequestHead, parseResponseHead, type RequestHead } from "../http1/head.ts";
import { type Network, Networks, parseNetwork } from "../base/cidr.ts";
import { HeadWriter } from "../http1/head_writer.ts";
import {
  hasBeenHere,
  joinedTarget,
  localLocation,
  requestRules,
  writeRequestFields,
  writeResponseFields,
} from "./headers.ts";

function headOf(text: string): RequestHead {
  const bytes = new TextEncoder().encode(text);
  const head = parseRequestHead(bytes, 0, bytes.length, { headBytesMax: 4096, fieldsMax: 50 });
  if (head === undefined || head instanceof Error) throw head ?? new Error("not whole");
  return head;
}

/** The only trusted proxy. */
const PROXY = "192.0.2.200";

function sentBy(peer: string, lines: string, requestId?: string): string[] {
  const out = new HeadWriter();
  const rules = requestRules("own.test", {
    preserveHost: false,
    headers: [],
    pseudonym: "failover",
    trusted: new Networks([parseNetwork(PROXY) as Network]),
    requestId: requestId !== undefined,
  });
  const head = headOf(`GET / HTTP/1.1\r\nHost: front.test:8080\r\n${lines}\r\n`);
  writeRequestFields(out, head, { peer, scheme: "http", requestId }, rules);
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

Deno.test("a client of a unix socket has no address: those in its headers are kept, and none is added", () => {
  assertEquals(sentBy("unix", "").slice(1), [
    "X-Forwarded-Host: front.test:8080",
    "X-Forwarded-Proto: http",
    'Forwarded: for=unknown;host="front.test:8080";proto=http',
    "Via: 1.1 failover",
  ]);
  const sent = "X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-For: 192.0.2.10\r\n" +
    "X-Forwarded-Proto: https\r\nX-Forwarded-Host: site.test\r\nForwarded: for=192.0.2.9\r\n";
  assertEquals(sentBy("unix", sent).slice(1), [
    "X-Forwarded-For: 192.0.2.9",
    "X-Forwarded-For: 192.0.2.10",
    "X-Forwarded-Host: site.test",
    "X-Forwarded-Proto: https",
    'Forwarded: for=192.0.2.9, for=unknown;host="front.test:8080";proto=http',
    "Via: 1.1 failover",
  ]);
});

Deno.test("the client headers of a trusted proxy are kept and continued, those of others are replaced", () => {
  const sent = "X-Forwarded-For: 198.51.100.9\r\nX-Forwarded-Proto: https\r\n" +
    "X-Forwarded-Host: site.test\r\nForwarded: for=198.51.100.9\r\n";
  for (const peer of [PROXY, `::ffff:${PROXY}`]) {
    assertEquals(sentBy(peer, sent).slice(1), [
      `X-Forwarded-For: 198.51.100.9, ${PROXY}`,
      "X-Forwarded-Host: site.test",
      "X-Forwarded-Proto: https",
      `Forwarded: for=198.51.100.9, for=${PROXY};host="front.test:8080";proto=http`,
      "Via: 1.1 failover",
    ]);
  }
  assertEquals(sentBy("192.0.2.201", sent).slice(1), [
    "X-Forwarded-For: 192.0.2.201",
    "X-Forwarded-Host: front.test:8080",
    "X-Forwarded-Proto: http",
    'Forwarded: for=192.0.2.201;host="front.test:8080";proto=http',
    "Via: 1.1 failover",
  ]);
});

Deno.test("a request with an id of the proxy has no other, and one without keeps the client's", () => {
  const ids = (lines: readonly string[]) => lines.filter((line) => /^x-request-id/i.test(line));
  assertEquals(ids(sentBy("192.0.2.1", "X-Request-ID: a\r\n")), ["X-Request-ID: a"]);
  assertEquals(ids(sentBy("192.0.2.1", "X-Request-ID: a\r\n", "b")), ["X-Request-Id: b"]);
});

Deno.test("a Forwarded that would swallow what follows is left out, any other is unchanged", () => {
  const own = 'for=192.0.2.200;host="front.test:8080";proto=http';
  const chain = (...values: string[]) =>
    sentBy(PROXY, values.map((value) => `Forwarded: ${value}\r\n`).join(""))
      .find((line) => line.startsWith("Forwarded: "))!.slice("Forwarded: ".length);
  for (
    const value of [
      "for=a",
      "for=192.0.2.43:47011",
      'for="[2001:db8::1]";proto=http;by=b , for=c',
      'for="a\\"b";host=c',
      'for="a,b"\t;host="c" ,for=""',
    ]
  ) assertEquals(chain(value), `${value.trim()}, ${own}`);
  for (
    const value of [
      'for="a',
      'for="a\\',
      'for="a\\"',
      '"',
      'for=a"b"',
      'for="a"b',
      'for="a""b"',
      '="',
    ]
  ) {
    assertEquals(chain(value), own, value);
    assertEquals(chain("for=x", value, "for=y"), `for=x, for=y, ${own}`, value);
  }
  assertEquals(chain('for="a', 'b"'), own);
  assertEquals(chain(""), own);
});

Deno.test("configured headers cannot change framing, Host or hop-by-hop fields", () => {
  const bad = [
    "Content-Length",
    "transfer-encoding",
    "Connection",
    "HOST",
    "Upgrade",
    "TE",
    "Expect",
  ];
  const headers: [string, string][] = bad.map((name) => [name, "7"]);
  const out = new HeadWriter();
  const rules = requestRules("own.test", {
    preserveHost: false,
    headers: [...headers, ["X-Key", "1"]],
    pseudonym: "failover",
  });
  const head = headOf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
  writeRequestFields(out, head, { peer: "unix", scheme: "http" }, rules);
  const lines = new TextDecoder().decode(out.view()).trim().split("\r\n");
  assertEquals(lines.slice(0, 2), ["Host: own.test", "X-Key: 1"]);
  assertEquals(lines.some((line) => line.endsWith(": 7")), false);
});

Deno.test("a request has passed this proxy if Via contains its whole name", () => {
  const isLoop = (...values: string[]) => {
    const lines = values.map((value) => `Via: ${value}\r\n`).join("");
    return hasBeenHere(headOf(`GET / HTTP/1.1\r\nHost: a\r\n${lines}\r\n`), "failover-1");
  };
  assertEquals(isLoop("1.1 failover-1"), true);
  assertEquals(isLoop("1.0 a, HTTP/1.1\tfailover-1 (it is us), 1.1 b"), true);
  assertEquals(isLoop("1.1 a", "1.1 failover-1"), true);
  for (const value of ["1.1 failover-12", "1.1 failover", "failover-1", "1.1 a (failover-1)", ""]) {
    assertEquals(isLoop(value), false, value);
  }
});

Deno.test("Connection cannot remove headers that the gateway adds itself", () => {
  const lines = sentBy("192.0.2.1", "Connection: close, host, x-forwarded-for, x-a\r\nX-A: 1\r\n");
  assertEquals(lines.some((line) => line.startsWith("X-Forwarded-For: 192.0.2.1")), true);
  assertEquals([lines[0], lines.some((line) => /x-a/i.test(line))], ["Host: own.test", false]);
});

Deno.test("a location on the upstream itself becomes a path of the proxy, any other is unchanged", () => {
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

Deno.test("the path is appended to the base path unchanged", () => {
  assertEquals(joinedTarget("/app", "/../x"), "/app/../x");
  assertEquals(joinedTarget("", "//x"), "//x");
  assertEquals(joinedTarget("/app", "*"), "*");
});

/** The lines that the client gets of a response with these lines. */
function answeredWith(statusLine: string, lines: string, requestId?: string): string[] {
  const bytes = new TextEncoder().encode(`HTTP/1.1 ${statusLine}\r\n${lines}\r\n`);
  const head = parseResponseHead(bytes, 0, bytes.length, { headBytesMax: 4096, fieldsMax: 50 });
  if (head === undefined || head instanceof Error) throw head ?? new Error("not whole");
  const out = new HeadWriter();
  const { via } = requestRules("up.test", { preserveHost: false, headers: [], pseudonym: "own" });
  const origin = { origin: "http://up.test", basePath: "/app" };
  writeResponseFields(out, head, origin, via, requestId);
  return new TextDecoder().decode(out.view()).trim().split("\r\n");
}

Deno.test("a response keeps its lines but those of one hop, of the framing and those that Connection names", () => {
  const lines = "X-A: 1\r\nConnection: close, x-b\r\nX-B: 2\r\nKeep-Alive: timeout=5\r\n" +
    "Proxy-Authenticate: Basic\r\nContent-Length: 0\r\nUpgrade: h2c\r\nx-a:  3\r\n";
  assertEquals(answeredWith("200 OK", lines), ["X-A: 1", "x-a:  3", "Via: 1.1 own"]);
});

Deno.test("Location is rewritten in 201 and from 300 on, in its place and with its name, and in no other response", () => {
  const lines = "X-A: 1\r\nlocation: http://up.test/app/x\r\nX-B: 2\r\n";
  for (const status of ["201 Created", "300 Multiple Choices", "302 Found"]) {
    assertEquals(
      answeredWith(status, lines),
      ["X-A: 1", "location: /x", "X-B: 2", "Via: 1.1 own"],
      status,
    );
  }
  for (const status of ["200 OK", "202 Accepted", "299 Own"]) {
    assertEquals(answeredWith(status, lines)[1], "location: http://up.test/app/x", status);
  }
  const foreign = answeredWith("302 Found", "Location:  https://else.test/app\r\n");
  assertEquals(foreign[0], "Location:  https://else.test/app");
});

Deno.test("only a 101 response passes on Upgrade", () => {
  const lines = "Upgrade: websocket\r\nConnection: upgrade\r\n";
  assertEquals(answeredWith("101 Switching Protocols", lines), [
    "Upgrade: websocket",
    "Via: 1.1 own",
  ]);
  assertEquals(answeredWith("426 Upgrade Required", lines), ["Via: 1.1 own"]);
});

Deno.test("the upstream's X-Request-Id reaches the client only if the proxy adds none itself", () => {
  const lines = "x-request-id: theirs\r\n";
  assertEquals(answeredWith("200 OK", lines)[0], "x-request-id: theirs");
  assertEquals(answeredWith("200 OK", lines, "own-1"), ["X-Request-Id: own-1", "Via: 1.1 own"]);
});

Deno.test("a request keeps its offer to upgrade, without HTTP/2, and its wish for trailers", () => {
  const upgrade = sentBy(
    "192.0.2.1",
    "Connection: upgrade\r\nUpgrade: h2c, websocket\r\nUpgrade: h2c\r\n",
  );
  assertEquals(upgrade.filter((line) => /upgrade/i.test(line)), ["Upgrade: websocket"]);
  const trailers = sentBy("192.0.2.1", "TE: gzip, trailers\r\nConnection: TE\r\n");
  assertEquals(trailers.slice(1, 3), ["TE: trailers", "Connection: TE"]);
  assertEquals(sentBy("192.0.2.1", "TE: gzip\r\nConnection: TE\r\n").join().includes("TE:"), false);
});

/** The elements of a `Forwarded`, by the rule of quoted strings only. */
function elementsOf(value: string): string[] {
  const elements = [""];
  let isQuoted = false;
  for (let at = 0; at < value.length; at++) {
    if (isQuoted && value[at] === "\\") elements.push(elements.pop()! + value[at++]);
    else if (value[at] === '"') isQuoted = !isQuoted;
    if (value[at] === "," && !isQuoted) elements.push("");
    else elements.push(elements.pop()! + (value[at] ?? ""));
  }
  return elements.map((element) => element.trim());
}

Deno.test("whatever a client sends in Forwarded, ours is the last element", () => {
  const next = random(6);
  const pieces = 'for=|"|"|\\|,|;|a|=|192.0.2.9|"[2001:db8::1]"|proto=https| |\t'.split("|");
  let kept = 0;
  for (let round = 0; round < 5_000; round++) {
    let sent = "";
    for (let lines = 1 + next(2); lines > 0; lines--) {
      let value = "";
      for (let count = next(8); count > 0; count--) value += pieces[next(pieces.length)];
      sent += `Forwarded: ${value}\r\n`;
    }
    const line = sentBy(PROXY, sent).find((each) => each.startsWith("Forwarded: "))!;
    const elements = elementsOf(line.slice("Forwarded: ".length));
    assertEquals(elements.at(-1), 'for=192.0.2.200;host="front.test:8080";proto=http', sent);
    if (elements.length > 1) kept++;
  }
  assertEquals(kept > 500, true, `only ${kept} kept`);
});
