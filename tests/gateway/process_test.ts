/** What the other tests show of HTTP mode, with the real program in a separate process. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Folder } from "../harness/folder.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { runProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { WebConnection } from "../harness/web_client.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import {
  rawUpstream,
  readAllText,
  readToEnd,
  readUntil,
  type RunningServer,
  sendText,
} from "./gateway_fixture.ts";

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

scenario(
  "a client that is too slow with its head gets 408, a line and a count",
  async ({ relay }) => {
    await using primary = answering(() => OK);
    await using proxy = await startWebProxy({ primary, flags: { relay } });
    const { conn } = await proxy.open();
    await sendText(conn.socket, "GET / HTTP/1.1\r\nHo");
    assertMatch(await withTestDeadline("an answer", readAllText(conn.socket)), /^HTTP\/1\.1 408 /);
    conn.close();
    await proxy.event("request.refused", { status: 408, client: "127.0.0.1" });
    const metrics = (await proxy.get("/__failover/metrics")).text;
    assertMatch(metrics, /\nfailover_requests_refused_total\{service="http"\} 1\n/);
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
    const flags = { relay, "response-idle-timeout": "1s" };
    await using proxy = await startWebProxy({ primary, flags });
    const [events, stops] = [await proxy.open(), await proxy.open()];
    await events.send({ target: "/events" });
    assertMatch(await readUntil(events.conn.socket, "half"), /^HTTP\/1\.1 200 /);
    await stops.send({ target: "/stops" });
    const { text } = await withTestDeadline("the end of it", readToEnd(stops.conn.socket));
    assertMatch(text, /half$/);
    await proxy.event("session.failed", { reason: /in time/ });
    stopped.resolve();
    assertEquals(await withTestDeadline("the rest", readUntil(events.conn.socket, "full")), "full");
    for (const one of [events, stops]) one.close();
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
  await using proxy = await startWebProxy({ primary, flags: { relay } });
  const conn = await proxy.open();
  const ask = async (target: string, method = "GET", end = "\r\n\r\n") => {
    await conn.send({ target, method });
    return await withTestDeadline(target, readUntil(conn.conn.socket, end));
  };
  assertMatch(await ask("/moved"), /\r\nX-A: 1\r\nlOcation: \/x\?y\r\nX-B: 2\r\n/);
  for (const path of ["/204", "/304", "/204", "/304"]) {
    assertMatch(await ask(path), new RegExp(`^HTTP/1\\.1 ${path.slice(1)} [^]*\\r\\n\\r\\n$`));
    assertMatch(await ask("/"), /^HTTP\/1\.1 200 [^]*\r\n\r\n(ok)?$/);
    if (!(await ask("/", "HEAD")).startsWith("HTTP/1.1 200 ")) throw new Error("out of step");
  }
  assertMatch(await ask("/", "TRACE", "\n\r\n"), /^HTTP\/1\.1 405 /);
  assertEquals(asked.includes("TRACE"), false);
  conn.close();
});

scenario("a connection with a login is used for its client only", async ({ relay }) => {
  await using up = rawUpstream(async (conn) => {
    let who = "nobody";
    for (let head = await readUntil(conn); head !== ""; head = await readUntil(conn)) {
      who = /\r\nAuthorization: NTLM (\w+)/.exec(head)?.[1] ?? who;
      const login = who === "nobody" ? "WWW-Authenticate: NTLM\r\n" : "";
      const body = `hello ${who}.`;
      await sendText(
        conn,
        `HTTP/1.1 200 OK\r\n${login}Content-Length: ${body.length}\r\n\r\n${body}`,
      );
    }
  });
  const primary = { url: `http://127.0.0.1:${up.port}` };
  await using proxy = await startWebProxy({ primary, flags: { relay } });
  const ask = async (conn: WebConnection, lines: string[] = []) => {
    await conn.send({ target: "/", lines });
    return (await withTestDeadline("an answer", conn.reply())).text;
  };
  const [alice, stranger] = [await proxy.open(), await proxy.open()];
  assertEquals(await ask(alice), "hello nobody.");
  assertEquals(await ask(alice, ["Authorization: NTLM alice"]), "hello alice.");
  for (let i = 0; i < 5; i++) {
    assertEquals(await ask(stranger), "hello nobody.");
    assertEquals((await proxy.get("/")).text, "hello nobody.");
    assertEquals(await ask(alice), "hello alice.");
  }
  for (const one of [alice, stranger]) one.close();
});

scenario("a kept connection ends before its upstream's Keep-Alive timeout", async ({ relay }) => {
  const ended = Promise.withResolvers<void>();
  await using up = rawUpstream(async (conn) => {
    const path = (await readUntil(conn)).split(" ")[1];
    if (path !== "/kept") return await sendText(conn, OK);
    await sendText(conn, "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=3\r\nContent-Length: 2\r\n\r\nok");
    assertEquals(await readUntil(conn), "");
    ended.resolve();
  });
  const primary = { url: `http://127.0.0.1:${up.port}` };
  await using proxy = await startWebProxy({ primary, flags: { relay, "check-interval": "1h" } });
  assertEquals((await proxy.get("/kept")).text, "ok");
  await withTestDeadline("the end of the kept connection", ended.promise);
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
