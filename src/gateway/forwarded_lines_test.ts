/** Lines that were printed for one request are reused for another only if they would be the same there. */
import { assertEquals, assertStrictEquals } from "@std/assert";
import { HeadWriter } from "../http1/head_writer.ts";
import { requestRules, writeRequestFields } from "./headers.ts";
import { forwardedLines } from "./forwarded_lines.ts";
import { headOf } from "./testing/fake_client.ts";

const rulesOf = (host?: string) =>
  requestRules("own.test", { preserveHost: true, headers: [], pseudonym: "failover", host });

const HEADS = [
  "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: b.test\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: a.test:80\r\n\r\n",
  "GET / HTTP/1.0\r\nHost: a.test\r\n\r\n",
  "GET / HTTP/1.0\r\n\r\n",
  "GET http://c.test HTTP/1.1\r\nHost: a.test\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: a.test\r\nVia: 1.1 other\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: a.test\r\nForwarded: for=192.0.2.9\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Host: evil.test\r\n\r\n",
];

Deno.test("whatever was sent before on a connection, a request gets the same lines as on a new connection", () => {
  const rules = [rulesOf(), rulesOf("fixed.test")];
  for (const peer of ["192.0.2.1", "2001:db8::1", "unix"]) {
    for (const before of HEADS) {
      for (const text of HEADS) {
        for (const each of rules) {
          const connection = { memo: undefined };
          const linesOf = (from: Parameters<typeof writeRequestFields>[2]) => {
            const out = new HeadWriter();
            writeRequestFields(out, headOf(text), from, each);
            return new TextDecoder().decode(out.view());
          };
          // Twice, as the lines are printed for the second request at the earliest.
          for (let i = 0; i < 2; i++) {
            const from = { peer, scheme: "http", connection } as const;
            writeRequestFields(new HeadWriter(), headOf(before), from, each);
          }
          assertEquals(
            linesOf({ peer, scheme: "http", connection }),
            linesOf({ peer, scheme: "http" }),
          );
        }
      }
    }
  }
});

Deno.test("lines are printed for the second request of a connection, and reused for similar ones", () => {
  const rules = rulesOf();
  const from = { peer: "192.0.2.1", scheme: "http", connection: { memo: undefined } } as const;
  const linesFor = (index: number) => forwardedLines(headOf(HEADS[index]!), from, rules);
  assertEquals(linesFor(0), undefined);
  const printed = linesFor(0);
  assertEquals(printed === undefined, false);
  assertStrictEquals(linesFor(0), printed);
  assertEquals(linesFor(6), undefined);
  assertStrictEquals(linesFor(0), printed);
  assertEquals(linesFor(1), undefined);
  assertEquals(linesFor(1) === undefined, false);
});

Deno.test("a connection on which the host changes with each request prints the lines a few times only", () => {
  const rules = rulesOf();
  const from = { peer: "192.0.2.1", scheme: "http", connection: { memo: undefined } } as const;
  let printed = 0;
  for (let i = 0; i < 100; i++) {
    if (forwardedLines(headOf(HEADS[i % 2]!), from, rules) !== undefined) printed++;
  }
  assertEquals(printed, 8);
});
