/** What the other tests show of HTTP mode, with the real program in a separate process. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Folder } from "../harness/folder.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { runProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { untilCounted } from "../harness/metrics.ts";
import { ERROR, FLAG, FRAME } from "../../src/http2/frames.ts";
import { block, frame, requestFields } from "../../src/http2/testing/frames.ts";
import {
  rawUpstream,
  readAllText,
  readUntil,
  type RunningServer,
  sendText,
} from "./gateway_fixture.ts";
import { Http1Client } from "./http1_client.ts";
import { Http2Client } from "./http2_client.ts";
import type { Protocol, StoryClient } from "./story_client.ts";

/** An upstream that answers each request by its path and head. */
function answering(
  answer: (path: string, head: string) => string,
): RunningServer & { url: string } {
  const up = rawUpstream(async (conn) => {
    for (let head = await readUntil(conn); head !== ""; head = await readUntil(conn)) {
      await sendText(conn, answer(head.split(" ")[1]!, head));
    }
  });
  return { ...up, url: `http://127.0.0.1:${up.port}` };
}

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** A client of the real program for each protocol. */
async function clientsOf({ address }: { readonly address: string }) {
  const { hostname, port } = new URL(`http://${address}`);
  const open = () => Deno.connect({ hostname, port: Number(port) });
  return [
    ["HTTP/1.1", new Http1Client(await open())],
    ["HTTP/2", new Http2Client(await open())],
  ] as const satisfies readonly (readonly [Protocol, StoryClient])[];
}

async function ask(client: StoryClient, path: string, method = "GET", lines: string[] = []) {
  const asked = await client.begin(method, path, lines);
  return await withTestDeadline(`${method} ${path}`, asked.answer());
}

scenario(
  "a client that is too slow with its head is refused, with a line and a count",
  async ({ relay }) => {
    await using primary = answering(() => OK);
    await using proxy = await startWebProxy({
      primary,
      flags: { relay, h2c: true, "head-timeout": "4s" },
    });
    const [[, plain], [, http2]] = await clientsOf(proxy);
    await sendText(plain.conn, "GET / HTTP/1.1\r\nHo");
    // A head that goes on in another frame.
    await http2.write(frame(FRAME.headers, FLAG.endStream, 1, block(requestFields())));
    const text = await withTestDeadline("an answer", readAllText(plain.conn));
    assertMatch(text, /^HTTP\/1\.1 408 /);
    await withTestDeadline("the end of HTTP/2", http2.readToEnd());
    assertEquals(http2.goAway?.code, ERROR.enhanceYourCalm);
    await proxy.event("request.refused", { status: 408, client: "127.0.0.1" });
    await proxy.event("http2.broken", { rule: "slow_head" });
    await untilCounted(
      async () => (await proxy.get("/__failover/metrics")).text,
      /\nfailover_requests_refused_total\{service="http"\} 1\n/,
      /\nfailover_http2_rules_broken_total\{service="http",rule="slow_head"\} 1\n/,
    );
    for (const { conn } of [plain, http2]) conn.close();
  },
);

scenario(
  "a response that stops is ended by --response-idle-timeout, an event stream is not",
  async ({ relay }) => {
    const stopped = Promise.withResolvers<void>();
    await using up = rawUpstream(async (conn) => {
      const path = (await readUntil(conn)).split(" ")[1];
      if (path === "/") return await sendText(conn, OK);
      const type = path === "/events" ? "text/event-stream" : "text/plain";
      await sendText(
        conn,
        `HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nContent-Length: 8\r\n\r\nhalf`,
      );
      if (path === "/stops") return void await readAllText(conn);
      await stopped.promise;
      await sendText(conn, "full");
    });
    const primary = { url: `http://127.0.0.1:${up.port}` };
    const flags = { relay, "response-idle-timeout": "1s", h2c: true } as const;
    await using proxy = await startWebProxy({ primary, flags });
    const [events, stops] = [await clientsOf(proxy), await clientsOf(proxy)];
    const begun = await Promise.all(events.map(([, client]) => client.begin("GET", "/events")));
    for (const one of begun) {
      assertEquals((await withTestDeadline("a head", one.head())).status, 200);
      assertEquals(await withTestDeadline("the first half", one.readUntil("half")), "half");
    }
    await Promise.all(stops.map(async ([protocol, client]) => {
      const { status, body, end } = await ask(client, "/stops");
      const cut = protocol === "HTTP/2" || relay === "splice" ? "reset" : "ended";
      assertEquals([status, body, end], [200, "half", cut], protocol);
    }));
    await proxy.event("session.failed", { reason: /in time/ });
    stopped.resolve();
    for (const one of begun) {
      const { body, end } = await withTestDeadline("the rest", one.rest());
      assertEquals([body, end], ["full", "whole"]);
    }
    for (const [, { conn }] of [...events, ...stops]) conn.close();
  },
);

scenario("redirects, TRACE, and responses that must have no body", async ({ relay }) => {
  const asked: string[] = [];
  await using primary = answering((path, head) => {
    asked.push(head.split(" ")[0]!);
    const { url } = primary;
    switch (path) {
      case "/moved":
        return `HTTP/1.1 302 Found\r\nX-A: 1\r\nlOcation: ${url}/x?y\r\nX-B: 2\r\nContent-Length: 0\r\n\r\n`;
      case "/204":
        return "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil";
      case "/304":
        return "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n";
    }
    return OK;
  });
  await using proxy = await startWebProxy({ primary, flags: { relay, h2c: true } });
  for (const [protocol, client] of await clientsOf(proxy)) {
    const moved = (await ask(client, "/moved")).lines.join("\n");
    const lines = "X-A: 1\nlOcation: /x?y\nX-B: 2\n";
    assertStringIncludes(moved, protocol === "HTTP/2" ? lines.toLowerCase() : lines);
    for (const path of ["/204", "/304", "/204", "/304"]) {
      const none = await ask(client, path);
      assertEquals([none.status, none.body, none.end], [Number(path.slice(1)), "", "whole"]);
      const next = await ask(client, "/");
      assertEquals([next.status, next.body], [200, "ok"]);
      const head = await ask(client, "/", "HEAD");
      assertEquals([head.status, head.body, head.get("content-length")], [200, "", "2"]);
    }
    assertEquals((await ask(client, "/", "TRACE")).status, 405);
    client.conn.close();
  }
  assertEquals(asked.includes("TRACE"), false);
});

scenario("a connection with a login is used for its client only", async ({ relay }) => {
  await using up = rawUpstream(async (conn) => {
    let who = "nobody";
    for (let head = await readUntil(conn); head !== ""; head = await readUntil(conn)) {
      who = /\r\nAuthorization: NTLM (\w+)/i.exec(head)?.[1] ?? who;
      const login = who === "nobody" ? "WWW-Authenticate: NTLM\r\n" : "";
      const body = `hello ${who}.`;
      await sendText(
        conn,
        `HTTP/1.1 200 OK\r\n${login}Content-Length: ${body.length}\r\n\r\n${body}`,
      );
    }
  });
  const primary = { url: `http://127.0.0.1:${up.port}` };
  await using proxy = await startWebProxy({ primary, flags: { relay, h2c: true } });
  const said = async (client: StoryClient, lines: string[] = []) =>
    (await ask(client, "/", "GET", lines)).body;
  const [alices, strangers] = [await clientsOf(proxy), await clientsOf(proxy)];
  for (const [protocol, alice] of alices) {
    // Clients of different people may share a connection of HTTP/2: there a login ends with its response.
    const name = protocol === "HTTP/2" ? "nobody" : "alice";
    assertEquals(await said(alice), "hello nobody.");
    assertEquals(await said(alice, ["Authorization: NTLM alice"]), "hello alice.");
    for (let i = 0; i < 5; i++) {
      for (const [, stranger] of strangers) assertEquals(await said(stranger), "hello nobody.");
      assertEquals((await proxy.get("/")).text, "hello nobody.");
      assertEquals(await said(alice), `hello ${name}.`);
    }
  }
  for (const [, { conn }] of [...alices, ...strangers]) conn.close();
});

scenario("a kept connection ends before its upstream's Keep-Alive timeout", async ({ relay }) => {
  const [asked, both] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let [begun, ended] = [0, 0];
  await using up = rawUpstream(async (conn) => {
    const path = (await readUntil(conn)).split(" ")[1];
    if (path !== "/kept") return await sendText(conn, OK);
    if (++begun === 2) asked.resolve();
    await asked.promise;
    await sendText(conn, "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=3\r\nContent-Length: 2\r\n\r\nok");
    assertEquals(await readUntil(conn), "");
    if (++ended === 2) both.resolve();
  });
  const primary = { url: `http://127.0.0.1:${up.port}` };
  const flags = { relay, "check-interval": "1h", h2c: true } as const;
  await using proxy = await startWebProxy({ primary, flags });
  const clients = await clientsOf(proxy);
  // Both are under way at one time, so that each has a connection of its own to the upstream.
  const answers = await Promise.all(clients.map(([, client]) => ask(client, "/kept")));
  assertEquals(answers.map(({ body }) => body), ["ok", "ok"]);
  await withTestDeadline("the end of the kept connections", both.promise);
  for (const [, { conn }] of clients) conn.close();
});

Deno.test("each configured header that belongs to a message or a connection is refused in one line", async () => {
  await using folder = await Folder.make();
  const names = ["Host", "Content-Length", "Transfer-Encoding", "Connection", "te", "UPGRADE"];
  await Promise.all(names.map(async (name) => {
    const config = await folder.write(
      `${name}.yaml`,
      `primary:\n  url: http://127.0.0.1:1\n  headers:\n    ${name}: x\n`,
    );
    const { code, stderr } = await runProxy(["--config", config]);
    assertEquals([code, stderr.length], [2, 1], stderr.join("\n"));
    assertStringIncludes(stderr[0]!, `Cannot use header "${name}" as primary`);
  }));
});
